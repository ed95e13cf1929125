"""What the C program cannot run, refused by name before anything is written."""

from edgewise.compress import Conv, Network, Packed, Pool, weight_shape
from edgewise.core.errors import UsageError
from edgewise.export.following import curve_of
from edgewise.export.layout import Layout
from edgewise.export.quantise import TABLES, IntegerNetwork, IntegerStep

MOST_ENTRIES, MOST_SIDE, MOST_KERNEL = 65_535, 65_535, 255  # what the types in edgewise.h hold


def check(network: Network) -> None:
    """Raise `UsageError` for a layer in which no group is left, for sizes beyond the program's, for another end."""
    for step in network.steps:
        op, name = step.op, step.name
        if isinstance(op, Conv) and isinstance(op.weight, Packed) and not op.weight.ternary.codes.any():
            raise UsageError(
                f"The layer {name} has no weight left: it gives the same for every photo. A dead network is not "
                "exported; train it again with a smaller --lambda."
            )
        sizes: tuple[int, ...] = ()
        if isinstance(op, Conv):
            sizes = (*weight_shape(op)[2:], *op.stride, *op.padding)
        elif isinstance(op, Pool):
            sizes = (*op.kernel, *op.stride, *op.padding)
        if max(sizes, default=0) > MOST_KERNEL:
            raise UsageError(
                f"The layer {name} has a kernel, stride or padding over {MOST_KERNEL}; C holds it in a byte."
            )
    last = network.steps[-1]
    if not isinstance(last.op, Conv) or curve_of(last.op) in TABLES:
        raise UsageError(
            f"The network ends in {last.name}; the C program ends in a linear layer or convolution without a curve. "
            "Compress a network whose last layer gives the logits."
        )


def check_sizes(network: IntegerNetwork, layout: Layout) -> None:
    """The same for what depends on how a layer is run."""
    for number, step in enumerate(network.steps, 1):
        entries, sides = entries_of(step, layout.pairs[number - 1]), network.values[number].shape
        if entries > MOST_ENTRIES or max(sides) > MOST_SIDE:
            raise UsageError(
                f"The layer {step.step.name} is too large for the C program: {entries:,} taps of a filter, maps of "
                f"{' x '.join(map(str, sides))}; each may be at most {MOST_ENTRIES:,}."
            )


def entries_of(step: IntegerStep, pairs: bool) -> int:
    """How many distances a filter of the step chooses from; 0 where it is no convolution."""
    if not isinstance(step.step.op, Conv):
        return 0
    _, channels, height, width = weight_shape(step.step.op)
    return channels * height * width * (1 + pairs)
