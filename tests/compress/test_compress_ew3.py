"""The packed file: the same bits back, as small as its formula, and whatever is in it, never more than a refusal."""

import dataclasses
import math
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_networks import example, networks

from edgewise.backbones import FAMILIES
from edgewise.compress import (
    Add,
    Conv,
    Network,
    Packed,
    PackedNetwork,
    Step,
    Subsample,
    Ternary,
    from_bytes,
    lowered,
    read_network,
    size_of,
    to_bytes,
)
from edgewise.compress.ew3_codes import codes_in_bytes, packed_codes, unpacked_codes
from edgewise.compress.ternary import put_ternary
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compress.md"
MOST_MADE = 4_000_000  # bytes that reading a hostile file of some hundred bytes may take for a moment


def same(one: Network, other: Network) -> bool:
    """Bit for bit."""
    if (one.preprocess, one.classes) != (other.preprocess, other.classes) or len(one.steps) != len(other.steps):
        return False
    return all(
        (a.name, a.operands, _plain(a.op)) == (b.name, b.operands, _plain(b.op))
        for a, b in zip(one.steps, other.steps, strict=True)
    )


def _plain(op: object) -> object:
    """What can be compared: tensors as bytes."""
    if isinstance(op, torch.Tensor):
        return tuple(op.shape), str(op.dtype), op.numpy().tobytes()
    if dataclasses.is_dataclass(op):
        return type(op).__name__, *(_plain(getattr(op, field.name)) for field in dataclasses.fields(op))
    return op


def sealed(content: bytes) -> bytes:
    """With the length and the checksum that belong to it."""
    return content[:8] + struct.pack("<II", len(content), zlib.crc32(content[16:])) + content[16:]


def resnet20(sparsity: float) -> Network:
    """With 10 CIFAR classes and 16-channel groups, of which this share is empty in every layer."""
    model = FAMILIES["resnet20"].build(classes=10)
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and name != "conv1":
            groups = layer.weight.data.view(-1, 16 * 9)
            groups[: round(len(groups) * sparsity)] = 0
            put_ternary(layer, 16)
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight)
            torch.nn.init.uniform_(layer.bias)
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    return lowered(model, FAMILIES["resnet20"].input, tuple(names.split()))


@given(networks())
def test_what_is_written_is_read_bit_for_bit_and_as_long_as_the_formula_says(network: Network) -> None:
    content = to_bytes(network)
    assert len(content) == size_of(network)
    read = from_bytes(content)
    assert same(read, network)
    images = torch.rand(2, 3, network.preprocess.size, network.preprocess.size)
    assert torch.equal(PackedNetwork(read)(images), PackedNetwork(network)(images))


def test_same_can_tell_networks_apart() -> None:
    network = example()
    assert same(network, example())
    first, *rest = network.steps
    assert isinstance(first.op, Conv)
    for op in (
        dataclasses.replace(first.op, curve="relu6"),
        dataclasses.replace(first.op, scale=-first.op.scale),
        dataclasses.replace(first.op, weight=torch.zeros(2, 3, 1, 1)),
    ):
        assert not same(network, dataclasses.replace(network, steps=(Step(op, (0,), first.name), *rest)))


@given(st.data())
def test_codes_come_back(data: st.DataObject) -> None:
    filters, slabs, slab, side = (data.draw(st.integers(1, most)) for most in (4, 3, 5, 3))
    shape = (filters, slabs * slab, side, side)
    count = math.prod(shape)
    values = data.draw(st.lists(st.sampled_from([0, 1, -1]), min_size=count, max_size=count))
    codes = torch.tensor(values, dtype=torch.int8).reshape(shape)
    codes.view(filters * slabs, -1)[data.draw(st.integers(0, filters * slabs - 1)) :: 2] = 0
    bitmap, packed = packed_codes(codes, slab)
    stored = int(codes.reshape(filters * slabs, -1).any(1).sum())
    assert len(bitmap) == math.ceil(filters * slabs / 8)
    assert len(packed) == math.ceil(stored * slab * side**2 / 4)
    assert torch.equal(unpacked_codes(bitmap, packed, shape, slab), codes)


def test_a_group_of_sixteen_kernels_of_nine_is_36_bytes() -> None:
    codes = torch.ones(2, 16, 3, 3, dtype=torch.int8)
    assert [len(part) for part in packed_codes(codes, 16)] == [1, 72]
    codes[1] = 0
    assert packed_codes(codes, 16) == (b"\x01", b"\x55" * 36)
    assert len(codes_in_bytes(codes)) == 72


@pytest.mark.parametrize(("sparsity", "most", "least_rate"), [(0.25, 61_650, 17.5), (0.33, 56_700, 19.0)])
def test_resnet20_is_as_small_as_promised(sparsity: float, most: int, least_rate: float) -> None:
    network = resnet20(sparsity)
    content = to_bytes(network)
    assert len(content) == size_of(network) <= most
    assert 4 * 269_722 / len(content) >= least_rate
    codes = [step.op for step in network.steps if isinstance(step.op, Conv) and isinstance(step.op.weight, Packed)]
    weights = sum(len(packed_codes(op.weight.ternary.codes, 16)[1]) for op in codes)  # type: ignore[union-attr]
    vectors = sum(8 * len(step.op.scale) for step in network.steps if isinstance(step.op, Conv))
    dense = 4 * (16 * 3 * 9 + 10 * 64)
    assert vectors == 8 * 698
    if sparsity == 0.25:
        page = PAGE.read_text(encoding="utf-8")
        assert f"| **{len(content):,}** |" in page
        assert "17.6 times as much" in page
        assert round(4 * 269_722 / len(content), 1) == 17.6
    assert len(content) - weights - vectors - dense - 1856 // 8 - 4 * len(codes) <= 1000  # the graph and all names


def rows_of_the_page() -> list[tuple[int, bytes]]:
    """Offset and bytes of every row of the example in docs/compress.md."""
    row = re.compile(r"^\| (\d+) \| `([0-9a-f ]+)` \|", re.MULTILINE)
    return [(int(offset), bytes.fromhex(digits)) for offset, digits in row.findall(PAGE.read_text(encoding="utf-8"))]


def test_the_page_shows_the_example_byte_for_byte() -> None:
    rows, content = rows_of_the_page(), to_bytes(example())
    assert len(rows) > 15
    at = 0
    for offset, piece in rows:
        assert offset == at
        assert content[at : at + len(piece)] == piece, f"byte {at}: {content[at : at + len(piece)].hex(' ')}"
        at += len(piece)
    assert at == len(content)
    assert f"{len(content)} bytes" in PAGE.read_text(encoding="utf-8")


def refused(content: bytes) -> str:
    with pytest.raises(EdgewiseError) as caught:
        from_bytes(content)
    return str(caught.value)


def test_what_is_no_packed_network_is_refused_in_words(tmp_path: Path) -> None:
    content = to_bytes(example())
    assert (
        refused(b"")
        == refused(b"GIF89a")
        == ("This is not a packed network: an .ew3 file starts with the letters EW3.")
    )
    assert refused(content[:60]) == (
        "The packed network cannot be read: it has 60 bytes, and its header alone has 80. It was cut off or changed; "
        "copy it again."
    )
    assert "it has 100 bytes and was written with 224" in refused(content[:100])
    assert "it has 225 bytes and was written with 224" in refused(content + b"\0")
    assert "its checksum is another" in refused(content[:-1] + b"\x40")
    assert refused(content[:4] + b"\2" + content[5:]) == (
        "The packed network is of version 2, and this Edgewise reads version 1. Open it with the Edgewise that wrote "
        "it, or pack it again."
    )
    (tmp_path / "network.ew3").write_bytes(content[:-1])
    with pytest.raises(EdgewiseError, match=r"network\.ew3: The packed network cannot be read: it has 223 bytes"):
        read_network(tmp_path / "network.ew3")
    with pytest.raises(EdgewiseError, match=r"nothing\.ew3 cannot be read: No such file"):
        read_network(tmp_path / "nothing.ew3")


STEPS = 112  # where the steps of the example start
FAULTS = [
    (STEPS, b"\x09", "names a step of kind 9, and there are 1 to 8"),
    (STEPS + 1, b"\x05", "a step has the curve 5, and there are 0 to 4"),
    (STEPS + 2, b"\x01", "Step 1 (body.conv) reads the values [1]; only those before it, 0 to 0"),
    (STEPS + 4, b"\xff\xff", "says that 262140 follow"),
    (STEPS + 6, b"\x06\x00", "Step 1 (body.conv) takes 6 channels in 1 groups and is given 3"),
    (STEPS + 6, b"\xff\xff\xff\xff", "a layer of 2 filters of 4,261,413,375 weights is announced") ,
    (STEPS + 8, b"\x00", "a layer of 2 filters of 0 weights is announced"),
    (STEPS + 10, b"\x00", "Step 1 (body.conv) has the stride (0, 1)"),
    (STEPS + 16, b"\x00", "Step 1 (body.conv) takes 0 channels in 0 groups and is given 3"),
    (STEPS + 16, b"\x02", "Step 1 (body.conv) takes 6 channels in 2 groups and is given 3"),
    (STEPS + 18, b"\x00", "groups of 0 channels do not divide 3"),
    (STEPS + 18, b"\x02", "groups of 2 channels do not divide 3"),
    (STEPS + 20, b"\x00\x00\x80\x7f", "is not finite"),
    (STEPS + 24, b"\x00\x00\xc0\x7f", "is not finite"),
    (STEPS + 41, b"\x61", "it holds bits that mean nothing"),  # the codes: a fourth one, of no weight
    (STEPS + 41, b"\x03", "a code is 11, which stands for no weight"),
    (STEPS + 41, b"\x00", "it holds bits that mean nothing"),  # a stored group of zeros
    (STEPS + 40, b"\x05", "it holds bits that mean nothing"),  # a third group's bit
    (STEPS + 42, b"\x01", "it holds bits that mean nothing"),
    (STEPS + 48, b"\x09", "Step 2 (body.pool) has a kernel of 9 for a side of 8"),
    (STEPS + 48, b"\x00", "Step 2 (body.pool) has the kernel (0, 8)"),
    (STEPS + 56, b"\x05", "has the padding (5, 0), more than half of its kernel (8, 8)"),
    (16, b"\x07", "is out of range: size 8..4096"),
    (16, b"\x09", "The network ends in 2 x 2 x 2, and it has 2 classes"),
    (20, b"\x01", "and it has 1 classes"),
    (24, b"\x02", "it holds bits that mean nothing"),
    (24, b"\xff\xff\xff\xff", "it ends after"),
    (28, b"\x00\x00\x00\x80", "says that 2147483648 follow"),
    (32, b"\x00\x00\x00\x00\x00\x00\xf8\x7f", "is out of range"),
    (80, b"\x01", "it holds bits that mean nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "piece", "said"), FAULTS, ids=[f"{at}-{piece.hex()}" for at, piece, _ in FAULTS])
def test_a_changed_field_is_refused_in_words(at: int, piece: bytes, said: str) -> None:
    content = to_bytes(example())
    assert said in refused(sealed(content[:at] + piece + content[at + len(piece) :]))


@settings(max_examples=400)
@given(networks(), st.data())
def test_reading_never_fails_otherwise_and_never_takes_much(network: Network, data: st.DataObject) -> None:
    content = bytearray(to_bytes(network))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        width = data.draw(st.sampled_from([1, 2, 4]))
        extreme = st.sampled_from([b"\0" * width, b"\xff" * width, b"\x7f" * width])
        piece = data.draw(extreme | st.binary(min_size=1, max_size=width))
        content[at : at + len(piece)] = piece
    cut = bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    if len(cut) >= 16 and data.draw(st.sampled_from([True, True, False])):
        cut = sealed(b"EW3\0\1\0\0\0" + cut[8:])
    tracemalloc.start()
    try:
        read = from_bytes(cut)
    except EdgewiseError:
        read = None
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < MOST_MADE
    assert read is None or to_bytes(read) == cut


def test_hostile_sizes_make_nothing() -> None:
    """Of a layer of 65,535 filters there must be as many scales before anything of its size is made."""
    content = bytearray(to_bytes(example()))
    content[STEPS + 4 : STEPS + 10] = struct.pack("<HHBB", 65_535, 255, 16, 16)
    tracemalloc.start()
    assert "says that 262140 follow" in refused(sealed(bytes(content)))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_absent_groups_cannot_ask_for_memory() -> None:
    """4,000 filters of 65,536 weights of which nothing is stored: 33 kB that would be 262 MB."""
    shape = (4000, 64, 32, 32)
    layer = struct.pack("<BBHHHBBBBBBBBHH", 2, 0, 0, *shape, 1, 1, 0, 0, 0, 0, 1, 64)
    content = to_bytes(example())[:STEPS] + layer + bytes(4 + 8 * 4000 + 500)
    tracemalloc.start()
    assert "a layer of 4,000 filters of 65,536 weights is announced" in refused(sealed(content))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    few = Packed(Ternary(torch.zeros(40, *shape[1:], dtype=torch.int8), 0.0), 64)
    empty = Conv(few, (1, 1), (0, 0, 0, 0), 1, torch.ones(40), torch.ones(40), "none")
    steps = (Step(Subsample(1, 61, 0), (0,), "more"), Step(empty, (1,), "empty"))
    with pytest.raises(EdgewiseError, match=r"has 2,621,440 weights, and a file of 576 bytes may hold 589,824: either"):
        to_bytes(Network(Preprocess(32), tuple(map(str, range(40))), steps))


def test_what_does_not_fit_into_the_format_is_named() -> None:
    network = example()
    conv, pool, head = network.steps
    assert isinstance(conv.op, Conv)

    def refusal(*steps: Step, classes: tuple[str, ...] = ("no", "yes")) -> str:
        with pytest.raises(EdgewiseError) as caught:
            to_bytes(Network(network.preprocess, classes, steps))
        return str(caught.value)

    wide = dataclasses.replace(conv.op, padding=(300, 0, 0, 0))
    big = dataclasses.replace(pool, op=dataclasses.replace(pool.op, kernel=(308, 8)))
    assert refusal(Step(wide, (0,), "wide"), big, head) == (
        "Step 1 (wide) cannot be packed: a number of it is too large for the format. Channels, groups and the sides of "
        "pools go up to 65,535; kernels, strides and padding of convolutions up to 255."
    )
    hollow = dataclasses.replace(conv.op, scale=torch.tensor([1.0, torch.inf]))
    assert "Step 1 (hollow) cannot be packed: some of its numbers are not finite" in refusal(
        Step(hollow, (0,), "hollow"), pool, head
    )
    huge = Conv(torch.zeros(2, 3 + 2**15, 2, 1), (1, 1), (0, 0, 0, 0), 1, torch.ones(2), torch.ones(2), "none")
    more = Step(Subsample(1, 2**15, 0), (0,), "more")
    shrunk = dataclasses.replace(pool, op=dataclasses.replace(pool.op, kernel=(7, 8)), operands=(2,))
    assert "its filters have 65,542 weights, and 65,536 fit" in refusal(
        more, Step(huge, (1,), "huge"), shrunk, Step(head.op, (3,), "head")
    )
    assert "The name 'a\\x00b' has a character of code 0" in refusal(conv, pool, head, classes=("a\0b", "c"))
    assert "The name '\\ud812' cannot be written as UTF-8" in refusal(conv, pool, head, classes=("\ud812", "c"))
    assert "Step 3 (sum) has 1 operands; it takes 2" in refusal(conv, pool, Step(Add("none"), (1,), "sum"))
    assert "Step 3 (sum) adds 2 x 8 x 8 and 2 x 1 x 1, which are of two shapes" in refusal(
        conv, pool, Step(Add("none"), (1, 2), "sum")
    )


def test_names_that_are_not_utf8_come_back() -> None:
    network = dataclasses.replace(example(), classes=("caf\udce9", "tea"))
    assert from_bytes(to_bytes(network)).classes == ("caf\udce9", "tea")


def test_an_empty_layer_is_a_file_all_the_same() -> None:
    conv, *rest = example().steps
    assert isinstance(conv.op, Conv)
    dead = dataclasses.replace(conv.op, weight=Packed(Ternary(torch.zeros(2, 3, 1, 1, dtype=torch.int8), 0.0), 3))
    network = dataclasses.replace(example(), steps=(dataclasses.replace(conv, op=dead), *rest))
    assert same(from_bytes(to_bytes(network)), network)
    assert len(to_bytes(network)) == len(to_bytes(example()))  # a byte of codes fewer, and one more to the next four
