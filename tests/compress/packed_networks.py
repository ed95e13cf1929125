"""Networks made by hand and by chance, for the tests of the packed file and of what reads it."""

from hypothesis import strategies as st
from torch import Tensor, arange, float32, int8, tensor

from edgewise.compress import (
    Add,
    Bend,
    Conv,
    Multiply,
    Network,
    Op,
    Packed,
    Pool,
    Shape,
    Step,
    Subsample,
    Ternary,
)
from edgewise.compress.shape_rules import result_of
from edgewise.core.preprocess import Preprocess

CURVES = ("none", "relu", "relu6", "hswish", "hsigmoid")
FLOATS = st.floats(-8, 8, width=32)


def example() -> Network:
    """The network of docs/compress.md: three steps, 224 bytes."""
    codes = tensor([[1, 0, -1], [0, 0, 0]], dtype=int8).reshape(2, 3, 1, 1)
    conv = Conv(
        Packed(Ternary(codes, 0.5), 3), (1, 1), (0, 0, 0, 0), 1, tensor([2.0, 1.0]), tensor([0.0, -1.0]), "relu"
    )
    head = Conv(
        tensor([[1.0, -1.0], [-1.0, 1.0]]).reshape(2, 2, 1, 1),
        (1, 1), (0, 0, 0, 0), 1, tensor([1.0, 1.0]), tensor([0.25, -0.25]), "none",
    )  # fmt: skip
    steps = (
        Step(conv, (0,), "body.conv"),
        Step(Pool("mean", (8, 8), (1, 1), (0, 0)), (1,), "body.pool"),
        Step(head, (2,), "head"),
    )
    return Network(Preprocess(8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), ("no", "yes"), steps)


def _vector(draw: st.DrawFn, count: int) -> Tensor:
    return tensor(draw(st.lists(FLOATS, min_size=count, max_size=count)), dtype=float32)


def _conv(draw: st.DrawFn, channels: int, filters: int, kernel: tuple[int, int], groups: int, stride: int) -> Conv:
    shape = (filters, channels // groups, *kernel)
    count = filters * shape[1] * kernel[0] * kernel[1]
    weight: Packed | Tensor
    if draw(st.booleans()):
        slab = draw(st.sampled_from([s for s in range(1, shape[1] + 1) if shape[1] % s == 0]))
        some = draw(st.lists(st.sampled_from([0, 0, 1, -1]), min_size=count, max_size=count))
        empty = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        codes = tensor(some, dtype=int8).reshape(filters * shape[1] // slab, -1)
        codes[tensor(empty[: len(codes)])] = 0
        weight = Packed(Ternary(codes.reshape(shape), draw(st.floats(0, 4, width=32))), slab)
    else:
        weight = arange(count, dtype=float32).sub(count / 2).reshape(shape)
    padding = (kernel[0] // 2, kernel[0] // 2, kernel[1] // 2, kernel[1] - 1)
    curve = draw(st.sampled_from(CURVES))
    return Conv(weight, (stride, 1), padding, groups, _vector(draw, filters), _vector(draw, filters), curve)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Any chain of steps that fit together, with shortcuts and gates, and names of any kind."""
    preprocess = Preprocess(draw(st.integers(8, 12)), (0.1, 0.2, 0.3), (1.0, 0.5, draw(st.floats(0.01, 9))))
    names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
    curves = st.sampled_from(CURVES)
    steps: list[Step] = []
    known: list[Shape] = [(3, preprocess.size, preprocess.size)]

    def put(op: Op, *operands: int) -> int:
        steps.append(Step(op, operands, draw(names)))
        known.append(result_of(op, [known[operand] for operand in operands]))
        return len(steps)

    last = put(_conv(draw, 3, draw(st.integers(1, 6)), (3, 3), 1, 2), 0)
    for kind in draw(st.lists(st.sampled_from(["conv", "deep", "add", "gate", "pool", "wide", "bend"]), max_size=5)):
        channels, *size = known[last]
        match kind:
            case "conv":
                last = put(_conv(draw, channels, draw(st.integers(1, 6)), (1, 3), 1, 1), last)
            case "deep":
                last = put(_conv(draw, channels, channels, (3, 1), channels, 1), last)
            case "add":
                last = put(Add(draw(curves)), last, put(Bend(draw(curves)), last))
            case "gate":
                last = put(Multiply(), last, put(Pool("mean", (size[0], size[1]), (1, 1), (0, 0)), last))
            case "pool":
                last = put(Pool(draw(st.sampled_from(["max", "mean"])), (2, 3), (1, 1), (1, 1)), last)
            case "wide":
                last = put(Subsample(draw(st.integers(1, 2)), draw(st.integers(0, 2)), draw(st.integers(0, 2))), last)
            case "bend":
                last = put(Bend(draw(curves)), last)
    channels, height, width = known[last]
    last = put(Pool("max", (height, width), (1, 1), (0, 0)), last)
    classes = tuple(draw(st.lists(names, min_size=1, max_size=4)))
    put(_conv(draw, channels, len(classes), (1, 1), 1, 1), last)
    return Network(preprocess, classes, tuple(steps))
