"""Running a `Program`: forward and backward, a chunk of images at a time, as one autograd function."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from edgewise.ops.base import Needs, Saved, as_maps, as_rows
from edgewise.ops.program import Analysis, Program
from edgewise.ops.schedule import Back, Move, Part, schedule

Registers = dict[int, Tensor]


@dataclass
class Tape:
    """What one chunk keeps of one stretch: registers, and bits by the register they belong to."""

    registers: Registers = field(default_factory=dict)
    bits: Registers = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A program, how many images a chunk has, and its analyses by which inputs want gradients.

    Without ``recompute`` everything that the backward pass reads is kept.
    """

    program: Program
    chunk: int
    recompute: bool = True
    analyses: dict[Needs, Analysis] = field(default_factory=dict, compare=False)
    schedules: dict[Needs, tuple[Part, ...]] = field(default_factory=dict, compare=False)

    def analysis(self, needs: Needs) -> Analysis:
        if needs not in self.analyses:
            self.analyses[needs] = Analysis(self.program, needs, self.recompute)
        return self.analyses[needs]

    def schedule(self, needs: Needs) -> tuple[Part, ...]:
        if needs not in self.schedules:
            self.schedules[needs] = schedule(self.analysis(needs))
        return self.schedules[needs]

    def chunks(self, images: int) -> Iterator[slice]:
        return (slice(start, min(start + self.chunk, images)) for start in range(0, max(images, 1), self.chunk))


def run(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The program's outputs, as torch sees them; ``tensors`` are its batched and shared inputs."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        result: tuple[Tensor, ...] = _Run.apply(plan, *tensors)  # type: ignore[no-untyped-call]
        return result
    outputs, _ = _forward(plan, plan.schedule((False,) * len(tensors)), tensors)
    return tuple(as_maps(y) for y in outputs)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        needs = tuple(ctx.needs_input_grad[1:])
        outputs, tapes = _forward(plan, plan.schedule(needs), tensors)
        # Everything kept goes through save_for_backward, where it can be counted and checked.
        kept = [t for own in tapes for tape in own for t in (*tape.registers.values(), *tape.bits.values())]
        ctx.plan, ctx.needs, ctx.images = plan, needs, tensors[0].shape[0]
        ctx.layout = [[(tuple(tape.registers), tuple(tape.bits)) for tape in own] for own in tapes]
        program, analysis = plan.program, plan.analysis(needs)
        ctx.save_for_backward(
            *(t if i >= program.batched or i in analysis.stored else None for i, t in enumerate(tensors)), *kept
        )
        results = tuple(as_maps(y) for y in outputs)
        # Who reads these later keeps nothing for a gradient that would end here.
        frozen = (y for y, r in zip(results, program.outputs, strict=True) if not analysis.wants[r])
        ctx.mark_non_differentiable(*frozen)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        program = ctx.plan.program
        saved = ctx.saved_tensors  # once: every time it is asked for, torch unpacks them all
        inputs, kept = saved[: program.inputs], iter(saved[program.inputs :])
        tapes = [
            [Tape({r: next(kept) for r in registers}, {r: next(kept) for r in bits}) for registers, bits in own]
            for own in ctx.layout
        ]
        found = _backward(ctx.plan, ctx.needs, inputs, tapes, grads, ctx.images)
        return None, *(None if g is None else as_maps(g) if i < program.batched else g for i, g in enumerate(found))


def _forward(plan: Plan, parts: Sequence[Part], tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[list[Tape]]]:
    """Outputs as rows, and per chunk the tapes of its stretches."""
    program, images = plan.program, tensors[0].shape[0]
    pool = _bits_for(plan, parts, tensors[0])
    outputs: list[Tensor | None] = [None] * len(program.outputs)
    tapes: list[list[Tape]] = []
    for piece in plan.chunks(images):
        registers = {i: _rows_of(t, piece) if i < program.batched else t for i, t in enumerate(tensors)}
        own = []
        for part in parts:
            tape = Tape()
            _execute(part.forward, registers, tape.bits, pool)
            tape.registers = {r: registers[r] for r in part.kept}
            own.append(tape)
            for r in part.leaves & registers.keys():
                del registers[r]
        tapes.append(own)
        for place, register in enumerate(program.outputs):
            outputs[place] = _placed(outputs[place], registers[register], piece, images)
        del registers
    return [y for y in outputs if y is not None], tapes


def _backward(
    plan: Plan,
    needs: Needs,
    inputs: Sequence[Tensor | None],
    tapes: Sequence[Sequence[Tape]],
    grads: Sequence[Tensor | None],
    images: int,
) -> list[Tensor | None]:
    """Gradients of the inputs; batched ones as rows."""
    program, parts = plan.program, plan.schedule(needs)
    result: list[Tensor | None] = [None] * program.inputs
    wanted = [register for register, need in enumerate(needs) if need]
    shared = {r: t for r, t in enumerate(inputs) if r >= program.batched and t is not None}
    for piece, own in zip(plan.chunks(images), tapes, strict=True):
        flowing = Flowing()
        for register, grad in zip(program.outputs, grads, strict=True):
            if grad is not None:
                flowing.add(register, _rows_of(grad, piece), owned=False)
        for part, tape in zip(reversed(parts), reversed(own), strict=True):
            values, bits = {**shared, **tape.registers}, dict(tape.bits)
            for r in part.borrowed:
                whole = inputs[r]
                assert whole is not None
                values[r] = _rows_of(whole, piece)
            _execute(part.again, values, bits, None)
            _reverse(part.backward, values, bits, flowing)
            del values, bits
        for register in wanted:
            grad = flowing.take(register)[0]
            if grad is None:
                continue
            if register < program.batched:
                result[register] = _placed(result[register], grad, piece, images)
            else:
                before = result[register]
                result[register] = grad if before is None else before.add_(grad)
    return result


def _execute(moves: Sequence[Move], registers: Registers, tape: Registers, pool: Iterator[Tensor] | None) -> None:
    """Go forward; values that nothing reads any more are overwritten or freed at once.

    Bits are put on the ``tape``, in slices of ``pool`` or (None) in buffers of their own.
    """
    for move in moves:
        operands = tuple([registers[r] for r in move.operands])
        bits = None
        if move.bits:
            size = (move.bits * operands[0].shape[0] + 7) // 8
            bits = next(pool) if pool is not None else operands[0].new_empty(size, dtype=torch.uint8)
            tape[move.result] = bits
        registers[move.result] = move.op.forward(operands, bits, move.inplace)
        del operands
        for r in move.done:
            registers.pop(r, None)


def _reverse(backs: Sequence[Back], values: Registers, bits: Registers, flowing: "Flowing") -> None:
    """Go back; ``values`` holds what the ops kept and the shared tensors."""
    for back in backs:
        grad, owned = flowing.take(back.result)
        if grad is None:
            continue
        operands = tuple([None if r is None else values.get(r) for r in back.read])
        found = back.op.backward(grad, Saved(operands, back.shapes, bits.get(back.result), back.needs, owned))
        aliases = sum(g is grad for g in found)
        for r, g in zip(back.operands, found, strict=True):
            if g is not None:
                flowing.add(r, g, owned=aliases < 2 and owned if g is grad else True)
        del grad, found, operands


class Flowing:
    """Gradients on their way back, by register, and whether they may be overwritten."""

    def __init__(self) -> None:
        self._grads: dict[int, tuple[Tensor, bool]] = {}

    def add(self, register: int, grad: Tensor, owned: bool) -> None:
        if register not in self._grads:
            self._grads[register] = grad, owned
            return
        before, mine = self._grads[register]
        if mine:
            self._grads[register] = before.add_(grad), True
        else:
            self._grads[register] = (grad.add_(before) if owned else before + grad), True

    def take(self, register: int) -> tuple[Tensor | None, bool]:
        return self._grads.pop(register, (None, False))


def _rows_of(batch: Tensor, piece: slice) -> Tensor:
    """The images of a piece as rows, without asking torch for a part where the piece is the whole batch."""
    return as_rows(batch if piece.stop - piece.start == batch.shape[0] else batch[piece])


def _placed(whole: Tensor | None, part: Tensor, piece: slice, images: int) -> Tensor:
    """``part`` written to its place in the batch; the part itself where it is the whole batch."""
    if part.shape[0] == images:
        return part
    if whole is None:
        whole = part.new_empty((images, *part.shape[1:]))
    whole[piece] = part
    return whole


def _bits_for(plan: Plan, parts: Sequence[Part], like: Tensor) -> Iterator[Tensor]:
    """All bits of the batch in one tensor, handed out in order of use."""
    elements = [count for part in parts for count in part.bits]
    if not elements:
        return iter(())
    sizes = [(count * (p.stop - p.start) + 7) // 8 for p in plan.chunks(like.shape[0]) for count in elements]
    return iter(torch.empty(sum(sizes), dtype=torch.uint8, device=like.device).split(sizes))
