"""A straight line of ops on images, run forward and backward in pieces of a few images.

Registers hold values.  The first ``batched`` ones are inputs with the images' dimension, the next
ones are shared tensors (weights, scales), the rest are results.  Because no op mixes images, a
*chunk* of images at a time gives the same result, and only a chunk's intermediate values exist.

Between forward and backward a program keeps what its ops declare, or less: the line is cut into
`Stretch`es, and one that would keep more than its own input is computed again from it (per chunk).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgewise.ops.base import Needs, Op, Shape

FLOAT = 4
# Computing a value again must save at least this share of its bytes: time is worth something too.
WORTH = 1 / 16


@dataclass(frozen=True)
class Instruction:
    """``registers[result] = op(registers[operands])``; ``name`` is where it stands in the model."""

    op: Op
    operands: tuple[int, ...]
    result: int
    name: str = ""


@dataclass(frozen=True)
class Program:
    """Instructions in order of execution; ``shapes`` are those of one image, or a shared tensor's own.

    ``held`` inputs are kept by somebody else in any case, so storing them costs nothing.
    """

    batched: int
    shared: int
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    shapes: tuple[Shape, ...]
    held: frozenset[int] = frozenset()

    @property
    def inputs(self) -> int:
        return self.batched + self.shared

    def is_batched(self, register: int) -> bool:
        return register < self.batched or register >= self.inputs

    def elements(self, register: int) -> int:
        """Numbers that one image has in ``register``."""
        count = 1
        for side in self.shapes[register]:
            count *= side
        return count


@dataclass(frozen=True)
class Stretch:
    """Instructions ``start`` to ``stop``; ``stored`` registers are kept for its backward pass.

    Where ``recompute``, they are what the stretch reads from before it and the rest is computed
    again; otherwise they are what its ops read, together with their bits.
    """

    start: int
    stop: int
    recompute: bool
    stored: tuple[int, ...]


class Analysis:
    """What a program's backward pass takes when the inputs marked in ``needs`` want gradients.

    Without ``recompute`` it keeps everything that it reads.
    """

    def __init__(self, program: Program, needs: Needs, recompute: bool = True) -> None:
        self.program, self.recompute = program, recompute
        wants = list(needs) + [False] * len(program.instructions)
        self.needs: list[Needs] = []
        for instruction in program.instructions:
            own = tuple(wants[r] for r in instruction.operands)
            self.needs.append(own)
            wants[instruction.result] = any(own)
        self.wants = tuple(wants)
        self.keeps = [i.op.keeps(own) for i, own in zip(program.instructions, self.needs, strict=True)]

    def kept_bytes(self) -> int:
        """Bytes that one image keeps between forward and backward, without ``held`` inputs."""
        floats = sum(FLOAT * self.program.elements(r) for r in self.stored - self.program.held)
        kept = (i for s in self.stretches if not s.recompute for i in range(s.start, s.stop))
        return floats + sum(self.bit_elements(i) for i in kept) // 8

    def width(self) -> int:
        """Bytes that one image in work takes at the widest point, roughly: for choosing a chunk."""
        program, last = self.program, self.last_use
        live, widest = 0, 0
        sizes = {i.result: FLOAT * program.elements(i.result) for i in program.instructions}
        for index, instruction in enumerate(program.instructions):
            live += sizes[instruction.result]
            widest = max(widest, live)
            live -= sum(sizes.get(r, 0) for r in set(instruction.operands) if last[r] == index)
        tape = max((self._tape(s.start, s.stop) for s in self.stretches if s.recompute), default=0)
        return widest + tape

    def active(self, index: int) -> bool:
        """Does a gradient pass this instruction?"""
        return any(self.needs[index])

    def kept_operands(self, index: int) -> tuple[int, ...]:
        """Batched registers that the backward pass of instruction ``index`` reads."""
        if not self.active(index):
            return ()
        instruction = self.program.instructions[index]
        operands = (instruction.operands[i] for i in self.keeps[index].operands)
        return tuple(r for r in operands if self.program.is_batched(r))

    def bit_elements(self, index: int) -> int:
        """Bits an image keeps at instruction ``index``."""
        kept = self.active(index) and self.keeps[index].bits
        return self.program.elements(self.program.instructions[index].result) if kept else 0

    @cached_property
    def last_use(self) -> dict[int, int]:
        """Index of the last instruction that reads a register; outputs outlive all."""
        last = {r: i for i, ins in enumerate(self.program.instructions) for r in ins.operands}
        return {**last, **dict.fromkeys(self.program.outputs, len(self.program.instructions))}

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """The cuts that keep the fewest bytes: what is stored, plus the largest tape of a recomputed chunk."""
        return min(self._candidates(), key=self._bytes)

    @cached_property
    def stored(self) -> frozenset[int]:
        """Registers kept from the forward pass."""
        return frozenset(r for stretch in self.stretches for r in stretch.stored)

    def needed(self, stretch: Stretch) -> Stretch:
        """What of a recomputed stretch has to be computed: nothing behind the last value that is read."""
        read = {r for i in range(stretch.start, stretch.stop) for r in self.kept_operands(i)}
        ends = [
            i + 1
            for i in range(stretch.start, stretch.stop)
            if self.bit_elements(i) or self.program.instructions[i].result in read
        ]
        return Stretch(stretch.start, max(ends, default=stretch.start), True, stretch.stored)

    def _bytes(self, stretches: tuple[Stretch, ...], images: int = 8) -> int:
        stored = {r for s in stretches for r in s.stored} - self.program.held
        bits = sum(self.bit_elements(i) for s in stretches if not s.recompute for i in range(s.start, s.stop))
        tape = max((self._tape(s.start, s.stop) for s in stretches if s.recompute), default=0)
        return images * (sum(FLOAT * self.program.elements(r) for r in stored) + bits // 8) + tape

    def _candidates(self) -> Iterator[tuple[Stretch, ...]]:
        """Keep everything; or keep what is cheap and recompute stretches whose tape stays below a limit."""
        end = len(self.program.instructions)
        whole = self._stretch(0, end, recompute=False)
        yield (whole,)
        if not self.recompute or set(whole.stored) <= self.program.held:
            return
        smallest, largest = max(self._tape(i, i + 1) for i in range(end)), self._tape(0, end)
        limit = smallest
        while limit < 2 * largest:
            yield self._cut(limit)
            limit = limit * 3 // 2 + 1

    def _cut(self, limit: int) -> tuple[Stretch, ...]:
        """The cheapest chain of stretches whose recomputed tapes stay below ``limit`` (a shortest path)."""
        program, end = self.program, len(self.program.instructions)
        best: list[tuple[int, tuple[int, bool] | None]] = [(0, None), *((1 << 62, None) for _ in range(end))]
        for start in range(end):
            paid = best[start][0]
            single = self._stretch(start, start + 1, recompute=False)
            self._offer(best, start, start + 1, False, paid + self._price(single))
            made: set[int] = set()
            read: set[int] = set()
            tape: set[int] = set()
            bits, active, again = 0, False, 0
            for stop in range(start + 1, end + 1):
                instruction = program.instructions[stop - 1]
                read |= {r for r in instruction.operands if program.is_batched(r)}
                made.add(instruction.result)
                tape.update(self.kept_operands(stop - 1))
                bits += self.bit_elements(stop - 1)
                active = active or self.active(stop - 1)
                again += FLOAT * program.elements(instruction.result)
                if stop > start + 1 and sum(FLOAT * program.elements(r) for r in tape) + bits // 8 > limit:
                    break
                stored = (read - made - program.held) if active else set()
                price = sum(FLOAT * program.elements(r) for r in stored)
                self._offer(best, start, stop, True, paid + 8 * price + int(8 * WORTH * again))
        chain: list[Stretch] = []
        stop = end
        while stop:
            step = best[stop][1]
            assert step is not None
            chain.append(self._stretch(step[0], stop, step[1]))
            stop = step[0]
        return _merged(chain[::-1])

    @staticmethod
    def _offer(best: list[tuple[int, tuple[int, bool] | None]], start: int, stop: int, again: bool, price: int) -> None:
        if price < best[stop][0]:
            best[stop] = (price, (start, again))

    def _price(self, stretch: Stretch) -> int:
        """Bits that one image stores."""
        floats = sum(FLOAT * self.program.elements(r) for r in stretch.stored if r not in self.program.held)
        return 8 * floats + sum(self.bit_elements(i) for i in range(stretch.start, stretch.stop))

    def _tape(self, start: int, stop: int) -> int:
        """Bytes one image keeps while the backward pass of a recomputed stretch runs."""
        registers = {r for i in range(start, stop) for r in self.kept_operands(i)}
        bits = sum(self.bit_elements(i) for i in range(start, stop))
        return sum(FLOAT * self.program.elements(r) for r in registers) + bits // 8

    def _stretch(self, start: int, stop: int, recompute: bool) -> Stretch:
        """The stretch with what it stores."""
        instructions = self.program.instructions[start:stop]
        if recompute:
            made = {ins.result for ins in instructions}
            stored = {r for ins in instructions for r in ins.operands if self.program.is_batched(r)} - made
            if not any(self.active(i) for i in range(start, stop)):
                stored = set()
        else:
            stored = {r for i in range(start, stop) for r in self.kept_operands(i)}
        return Stretch(start, stop, recompute, tuple(sorted(stored)))


def _merged(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Neighbouring stretches that keep, as one."""
    out: list[Stretch] = []
    for stretch in stretches:
        if out and not out[-1].recompute and not stretch.recompute:
            both = (*out[-1].stored, *stretch.stored)
            out[-1] = Stretch(out[-1].start, stretch.stop, False, tuple(sorted(set(both))))
        else:
            out.append(stretch)
    return tuple(out)
