"""Where the C program keeps its values: margins of zeros, and places in one static array, shared over time.

Maps of one size have one margin, so that their rows are equally long: the largest padding of a convolution that reads
one of them where it lies.  A convolution with a stride, or whose result has another size, reads a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.compress import Conv, Packed, Shape, weight_shape
from edgewise.export.quantise import Held, IntegerNetwork, IntegerStep

SLACK = 64  # numbers behind every value: a block of pixels may end there
READ_BEYOND = 128  # and so many are read behind the last


@dataclass(frozen=True)
class Copy:
    """Planes that a convolution reads: one for each channel and phase of the stride."""

    rows: int
    above: int
    ahead: int
    planes: int
    plane: int  # numbers

    @property
    def size(self) -> int:
        return self.planes * self.plane


@dataclass(frozen=True)
class Layout:
    """In numbers, not bytes: ``at`` and ``margins`` of every value; copies and sums of every step; the whole arena."""

    at: tuple[int, ...]
    margins: tuple[int, ...]
    copies: tuple[Copy | None, ...]
    copies_at: tuple[int, ...]
    sums_at: tuple[int, ...]
    pairs: tuple[bool, ...]
    arena: int


def laid_out(network: IntegerNetwork) -> Layout:
    """A place for everything, the largest first, each as low as what lives at the same time allows."""
    shapes = [held.shape for held in network.values]
    margins = _margins(network.steps, shapes)
    copies = [_copy(step, shapes, margins, number) for number, step in enumerate(network.steps, 1)]
    pairs = [pairs_up(step, [network.values[o] for o in step.step.operands]) for step in network.steps]
    wanted = []  # (size, first step, last step)
    for number, shape in enumerate(shapes):
        readers = [i for i, step in enumerate(network.steps, 1) if number in step.step.operands]
        wanted.append((shape[0] * plane(shape, margins[number]), number, max([number, *readers])))
    for number, (step, copy, paired) in enumerate(zip(network.steps, copies, pairs, strict=True), 1):
        source = step.step.operands[0]
        read = copy.size if copy else shapes[source][0] * plane(shapes[source], margins[source])
        wanted.append((copy.size if copy else 0, number, number))
        wanted.append((read if paired else 0, number, number))
    places, arena = _placed(wanted)
    values = len(shapes)
    return Layout(
        tuple(places[:values]),
        tuple(margins),
        tuple(copies),
        tuple(places[values::2]),
        tuple(places[values + 1 :: 2]),
        tuple(pairs),
        arena + READ_BEYOND,
    )


def row(shape: Shape, margin: int) -> int:
    """From one row of a map to the next."""
    return shape[2] + margin


def plane(shape: Shape, margin: int) -> int:
    """From one channel of a map to the next."""
    return (shape[1] + 2 * margin) * row(shape, margin) + margin


def pairs_up(step: IntegerStep, given: Sequence[Held]) -> bool:
    """Can sums and differences of two channels be held like the channels?  Where none is negative."""
    op = step.step.op
    return isinstance(op, Conv) and isinstance(op.weight, Packed) and op.weight.slab % 2 == 0 and given[0].low == 0


def _copied(op: Conv, source: Shape, result: Shape) -> bool:
    return op.stride != (1, 1) or source[1:] != result[1:]


def _margins(steps: Sequence[IntegerStep], shapes: Sequence[Shape]) -> list[int]:
    sizes = dict.fromkeys((shape[1:] for shape in shapes), 0)
    for number, step in enumerate(steps, 1):
        op = step.step.op
        if isinstance(op, Conv):
            source, result = shapes[step.step.operands[0]], shapes[number]
            if _copied(op, source, result):
                sizes[result[1:]] = max(sizes[result[1:]], sum(_reach(op, 1)))
            else:
                sizes[source[1:]] = max(sizes[source[1:]], *op.padding)
    return [sizes[shape[1:]] for shape in shapes]


def _reach(op: Conv, axis: int) -> tuple[int, int]:
    """Numbers of a plane's row (axis 1) or rows (axis 0) before the first pixel, and behind the last."""
    before, kernel, stride = op.padding[2 * axis], weight_shape(op)[2 + axis], op.stride[axis]
    return -(-before // stride), max(0, (kernel - 1 - before) // stride)


def _copy(step: IntegerStep, shapes: Sequence[Shape], margins: Sequence[int], number: int) -> Copy | None:
    op, result = step.step.op, shapes[number]
    if not isinstance(op, Conv) or not _copied(op, shapes[step.step.operands[0]], result):
        return None
    (above, below), (ahead, _) = _reach(op, 0), _reach(op, 1)
    rows = above + result[1] + below
    planes = shapes[step.step.operands[0]][0] * op.stride[0] * op.stride[1]
    return Copy(rows, above, ahead, planes, rows * row(result, margins[number]) + ahead)


def _placed(wanted: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    places, taken = [0] * len(wanted), list[tuple[int, int, int, int]]()
    for index in sorted(range(len(wanted)), key=lambda i: -wanted[i][0]):
        size, first, last = wanted[index]
        if not size:
            continue
        size += SLACK
        at = 0
        for other_at, other_size, other_first, other_last in sorted(taken):
            if first <= other_last and other_first <= last and at + size > other_at:
                at = max(at, other_at + other_size)
        places[index] = at
        taken.append((at, size, first, last))
    return places, max((at + size for at, size, _, _ in taken), default=0)
