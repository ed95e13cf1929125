"""What running a program does, decided once: nothing is left to find out while images pass through."""

from dataclasses import dataclass

from edgewise.ops.base import Needs, Op, Shape
from edgewise.ops.program import Analysis, Stretch


@dataclass(frozen=True)
class Move:
    """An instruction on its way forward.

    It may overwrite its first operand where ``inplace``; ``bits`` elements an image leave a bit on the
    tape; ``done`` registers are read by nobody after it.
    """

    op: Op
    operands: tuple[int, ...]
    result: int
    inplace: bool
    bits: int
    done: tuple[int, ...]


@dataclass(frozen=True)
class Back:
    """An instruction on its way back: ``read`` says where each operand is found, None where it is not needed."""

    op: Op
    operands: tuple[int, ...]
    result: int
    read: tuple[int | None, ...]
    shapes: tuple[Shape, ...]
    needs: Needs


@dataclass(frozen=True)
class Part:
    """A stretch: its way forward, the part of it computed again on the way back, and the way back.

    ``kept`` are the results stored for it, ``borrowed`` the inputs it finds again at their owner;
    ``leaves`` are the registers that nobody reads behind it.
    """

    forward: tuple[Move, ...]
    again: tuple[Move, ...]
    backward: tuple[Back, ...]
    kept: tuple[int, ...]
    borrowed: tuple[int, ...]
    leaves: frozenset[int]

    @property
    def bits(self) -> tuple[int, ...]:
        """Elements an image that leave bits on the way forward, in order."""
        return tuple(move.bits for move in self.forward if move.bits)


def schedule(analysis: Analysis) -> tuple[Part, ...]:
    """The stretches of an analysis in order."""
    return tuple(_part(analysis, stretch) for stretch in analysis.stretches)


def _part(analysis: Analysis, stretch: Stretch) -> Part:
    program = analysis.program
    registers = {r for i in range(stretch.stop) for r in (*program.instructions[i].operands, i + program.inputs)}
    leaves = (r for r in registers | set(range(program.batched)) if program.is_batched(r))
    return Part(
        forward=_moves(analysis, stretch, taping=not stretch.recompute),
        again=_moves(analysis, analysis.needed(stretch), taping=True) if stretch.recompute else (),
        backward=_backs(analysis, stretch),
        kept=tuple(r for r in stretch.stored if r >= program.batched),
        borrowed=tuple(r for r in stretch.stored if r < program.batched),
        leaves=frozenset(r for r in leaves if analysis.last_use.get(r, -1) < stretch.stop),
    )


def _moves(analysis: Analysis, stretch: Stretch, taping: bool) -> tuple[Move, ...]:
    program, indices = analysis.program, range(stretch.start, stretch.stop)
    tape = {r for i in indices for r in analysis.kept_operands(i)} if taping else set()
    untouchable = tape | set(program.outputs) | analysis.stored
    moves = []
    for index in indices:
        instruction = program.instructions[index]
        first, last_use = instruction.operands[0], analysis.last_use
        free = first >= program.inputs and first not in untouchable and last_use[first] == index
        done = {r for r in instruction.operands if program.is_batched(r)} - untouchable
        moves.append(
            Move(
                instruction.op,
                instruction.operands,
                instruction.result,
                free and instruction.operands.count(first) == 1,
                analysis.bit_elements(index) if taping else 0,
                tuple(r for r in done if last_use[r] <= index),
            )
        )
    return tuple(moves)


def _backs(analysis: Analysis, stretch: Stretch) -> tuple[Back, ...]:
    program, backs = analysis.program, []
    for index in range(stretch.stop - 1, stretch.start - 1, -1):
        if not analysis.active(index):
            continue
        instruction, kept = program.instructions[index], analysis.keeps[index].operands
        operands = instruction.operands
        read = tuple(r if not program.is_batched(r) or i in kept else None for i, r in enumerate(operands))
        shapes = tuple(program.shapes[r] for r in operands)
        backs.append(Back(instruction.op, operands, instruction.result, read, shapes, analysis.needs[index]))
    return tuple(backs)
