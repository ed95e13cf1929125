"""Running a `Program`: forward and backward, a chunk of images at a time, as one autograd function."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from edgewise.ops.base import Saved, as_maps, as_rows
from edgewise.ops.program import Analysis, Program, Stretch


@dataclass
class Tape:
    """What one chunk keeps of one stretch: registers, and bits by instruction."""

    registers: dict[int, Tensor] = field(default_factory=dict)
    bits: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A program, how many images a chunk has, and its analyses by which inputs want gradients."""

    program: Program
    chunk: int
    analyses: dict[tuple[bool, ...], Analysis] = field(default_factory=dict, compare=False)

    def analysis(self, needs: tuple[bool, ...]) -> Analysis:
        if needs not in self.analyses:
            self.analyses[needs] = Analysis(self.program, needs)
        return self.analyses[needs]

    def chunks(self, images: int) -> Iterator[slice]:
        return (slice(start, min(start + self.chunk, images)) for start in range(0, max(images, 1), self.chunk))


def run(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The program's outputs, as torch sees them; ``tensors`` are its batched and shared inputs."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        result: tuple[Tensor, ...] = _Run.apply(plan, *tensors)  # type: ignore[no-untyped-call]
        return result
    outputs, _ = _forward(plan, plan.analysis((False,) * len(tensors)), tensors)
    return tuple(as_maps(y) for y in outputs)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        analysis = plan.analysis(tuple(ctx.needs_input_grad[1:]))
        outputs, tapes = _forward(plan, analysis, tensors)
        # Everything kept goes through save_for_backward, where it can be counted and checked.
        kept = [t for own in tapes for tape in own for t in (*tape.registers.values(), *tape.bits.values())]
        ctx.plan, ctx.needs = plan, analysis.wants[: len(tensors)]
        ctx.layout = [[(tuple(tape.registers), tuple(tape.bits)) for tape in own] for own in tapes]
        program = plan.program
        ctx.save_for_backward(
            *(t if i >= program.batched or i in analysis.stored else None for i, t in enumerate(tensors)), *kept
        )
        ctx.images = len(tensors[0])
        results = tuple(as_maps(y) for y in outputs)
        # Who reads these later keeps nothing for a gradient that would end here.
        frozen = (y for y, r in zip(results, program.outputs, strict=True) if not analysis.wants[r])
        ctx.mark_non_differentiable(*frozen)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plan, program = ctx.plan, ctx.plan.program
        inputs, kept = ctx.saved_tensors[: program.inputs], iter(ctx.saved_tensors[program.inputs :])
        tapes = [
            [Tape({r: next(kept) for r in registers}, {i: next(kept) for i in bits}) for registers, bits in own]
            for own in ctx.layout
        ]
        found = _backward(plan, plan.analysis(ctx.needs), inputs, tapes, grads, ctx.images)
        return None, *(None if g is None else as_maps(g) if i < program.batched else g for i, g in enumerate(found))


def _forward(plan: Plan, analysis: Analysis, tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[list[Tape]]]:
    """Outputs as rows, and per chunk the tapes of its stretches."""
    program, images = plan.program, len(tensors[0])
    keeping = any(analysis.wants[: program.inputs])
    pool = _bits_for(plan, analysis, images, tensors[0].device) if keeping else iter(())
    outputs: list[Tensor | None] = [None] * len(program.outputs)
    tapes: list[list[Tape]] = []
    stretches = analysis.stretches if keeping else (Stretch(0, len(program.instructions), True, ()),)
    for piece in plan.chunks(images):
        registers = _chunk(program, tensors, piece)
        own = []
        for stretch in stretches:
            tape = Tape()
            keep = None if stretch.recompute else tape
            _execute(program, analysis, stretch, registers, keep, pool)
            tape.registers = {r: registers[r] for r in stretch.stored if r >= program.batched}
            own.append(tape)
            _free(registers, program, analysis, stretch.stop)
        tapes.append(own if keeping else [])
        for place, register in enumerate(program.outputs):
            outputs[place] = _placed(outputs[place], registers[register], piece, images)
        del registers
    return [y for y in outputs if y is not None], tapes


def _backward(
    plan: Plan,
    analysis: Analysis,
    inputs: Sequence[Tensor | None],
    tapes: Sequence[Sequence[Tape]],
    grads: Sequence[Tensor | None],
    images: int,
) -> list[Tensor | None]:
    """Gradients of the inputs; batched ones as rows."""
    program = plan.program
    result: list[Tensor | None] = [None] * program.inputs
    for piece, own in zip(plan.chunks(images), tapes, strict=True):
        flowing = Flowing()
        for register, grad in zip(program.outputs, grads, strict=True):
            if grad is not None:
                flowing.add(register, as_rows(grad[piece]), owned=False)
        shared = {r: t for r, t in enumerate(inputs) if r >= program.batched and t is not None}
        for stretch, tape in zip(reversed(analysis.stretches), reversed(own), strict=True):
            values = {**tape.registers, **shared, **_pieces(inputs, stretch.stored, piece, program.batched)}
            bits = tape.bits
            if stretch.recompute:
                again = Tape()
                _execute(program, analysis, analysis.needed(stretch), values, again, None)
                bits = again.bits
            _reverse(program, analysis, stretch, values, bits, flowing)
        for register in range(program.inputs):
            grad = flowing.take(register)[0]
            if grad is None or not analysis.wants[register]:
                continue
            if register < program.batched:
                result[register] = _placed(result[register], grad, piece, images)
            else:
                before = result[register]
                result[register] = grad if before is None else before.add_(grad)
    return result


def _execute(
    program: Program,
    analysis: Analysis,
    stretch: Stretch,
    registers: dict[int, Tensor],
    tape: Tape | None,
    pool: Iterator[Tensor] | None,
) -> None:
    """Run a stretch; values that nothing reads any more are overwritten or freed at once.

    With a ``tape`` the ops' bits are kept, in slices of ``pool`` or (None) in buffers of their own.
    """
    kept = {r for i in range(stretch.start, stretch.stop) for r in analysis.kept_operands(i)} if tape else set()
    untouchable = kept | set(program.outputs) | analysis.stored
    for index in range(stretch.start, stretch.stop):
        instruction = program.instructions[index]
        operands = tuple(registers[r] for r in instruction.operands)
        first = instruction.operands[0]
        free = first >= program.inputs and first not in untouchable and analysis.last_use[first] == index
        inplace = free and instruction.operands.count(first) == 1
        bits = None
        if tape is not None and analysis.bit_elements(index):
            count = analysis.bit_elements(index) * len(operands[0])
            bits = next(pool) if pool is not None else operands[0].new_empty((count + 7) // 8, dtype=torch.uint8)
            tape.bits[index] = bits
        registers[instruction.result] = instruction.op.forward(operands, bits, inplace)
        del operands
        for r in set(instruction.operands):
            if program.is_batched(r) and r not in untouchable and analysis.last_use[r] <= index:
                registers.pop(r, None)


def _reverse(
    program: Program,
    analysis: Analysis,
    stretch: Stretch,
    values: dict[int, Tensor],
    bits: dict[int, Tensor],
    flowing: "Flowing",
) -> None:
    """The backward pass of a stretch; ``values`` holds what its ops kept and the shared tensors."""
    for index in range(stretch.stop - 1, stretch.start - 1, -1):
        if not analysis.active(index):
            continue
        instruction = program.instructions[index]
        grad, owned = flowing.take(instruction.result)
        if grad is None:
            continue
        keeps = analysis.keeps[index].operands
        operands = tuple(
            values.get(r) if not program.is_batched(r) or i in keeps else None
            for i, r in enumerate(instruction.operands)
        )
        shapes = tuple(program.shapes[r] for r in instruction.operands)
        found = instruction.op.backward(grad, Saved(operands, shapes, bits.get(index), analysis.needs[index], owned))
        aliases = sum(g is grad for g in found)
        for r, g in zip(instruction.operands, found, strict=True):
            if g is not None:
                flowing.add(r, g, owned=aliases < 2 and owned if g is grad else True)
        del grad, found


class Flowing:
    """Gradients on their way back, by register, and whether they may be overwritten."""

    def __init__(self) -> None:
        self._grads: dict[int, tuple[Tensor, bool]] = {}

    def add(self, register: int, grad: Tensor, owned: bool) -> None:
        if register in self._grads:
            before, mine = self._grads[register]
            if mine:
                self._grads[register] = before.add_(grad), True
            elif owned:
                self._grads[register] = grad.add_(before), True
            else:
                self._grads[register] = before + grad, True
        else:
            self._grads[register] = grad, owned

    def take(self, register: int) -> tuple[Tensor | None, bool]:
        return self._grads.pop(register, (None, False))


def _chunk(program: Program, tensors: Sequence[Tensor], piece: slice) -> dict[int, Tensor]:
    return {i: as_rows(t[piece]) if i < program.batched else t for i, t in enumerate(tensors)}


def _pieces(inputs: Sequence[Tensor | None], wanted: Sequence[int], piece: slice, batched: int) -> dict[int, Tensor]:
    found = ((r, inputs[r]) for r in wanted if r < batched)
    return {r: as_rows(t[piece]) for r, t in found if t is not None}


def _placed(whole: Tensor | None, part: Tensor, piece: slice, images: int) -> Tensor:
    """``part`` written to its place in the batch; the part itself where it is the whole batch."""
    if len(part) == images:
        return part
    if whole is None:
        whole = part.new_empty((images, *part.shape[1:]))
    whole[piece] = part
    return whole


def _free(registers: dict[int, Tensor], program: Program, analysis: Analysis, index: int) -> None:
    for r in [r for r in registers if program.is_batched(r) and analysis.last_use.get(r, -1) < index]:
        del registers[r]


def _bits_for(plan: Plan, analysis: Analysis, images: int, device: torch.device) -> Iterator[Tensor]:
    """All bits of the batch in one tensor, handed out in order of use."""
    counts = [
        [
            (analysis.bit_elements(i) * (piece.stop - piece.start) + 7) // 8
            for stretch in analysis.stretches
            if not stretch.recompute
            for i in range(stretch.start, stretch.stop)
            if analysis.bit_elements(i)
        ]
        for piece in plan.chunks(images)
    ]
    total = sum(sum(own) for own in counts)
    whole = torch.empty(total, dtype=torch.uint8, device=device)
    return iter(whole.split([c for own in counts for c in own]) if total else ())
