"""The pictures of a compression are XML with words, and put codes, shares and norms where they belong."""

import base64
import random
import re
from itertools import pairwise, product
from xml.etree import ElementTree

import pytest
from compress_samples import packed
from test_figures import HOSTILE, SVG, of_class, parsed, texts
from test_style import contrast, scheme

from edgewise.report.areas import SIDE, areas
from edgewise.report.compress_record import Evolution
from edgewise.report.depth import Column, depth
from edgewise.report.evolution import evolutions
from edgewise.report.histogram import histogram
from edgewise.report.standalone import standalone
from edgewise.report.tiles import HEAD, MOST_FILTERS, RIM, Codes, left_out, tiles, unpacked
from edgewise.report.tiles import SIDE as MARGIN


def codes(
    shape: tuple[int, int, int, int], slab: int, absent: tuple[tuple[int, int], ...] = (), seed: int = 0
) -> Codes:
    """Random ones; ``absent`` are (filter, group)."""
    draw = random.Random(seed)
    filters, channels, high, wide = shape
    values = [
        0 if (one, channel // slab) in absent else draw.choice((-1, 0, 1))
        for one, channel, _, _ in product(range(filters), range(channels), range(high), range(wide))
    ]
    return Codes(shape, slab, values)


def squares(path: str) -> list[tuple[float, float, int]]:
    """(x, y, how many weights wide) of every run in a path of `tiles`."""
    runs = re.findall(r"M([\d.]+) ([\d.]+)h(\d+)v1h-(\d+)z", path)
    assert "".join(f"M{x} {y}h{wide}v1h-{back}z" for x, y, wide, back in runs) == path
    return [(float(x), float(y), int(wide)) for x, y, wide, _ in runs]


def painted(root: ElementTree.Element, found: Codes) -> dict[tuple[int, int, int, int], int]:
    """The value that the picture shows for each weight of a layer that it shows whole."""
    filters, channels = found.shape[:2]
    grounds = [one for one in of_class(root, "zero") if one.tag == f"{SVG}path"]
    corners = re.findall(r"M([\d.]+) ([\d.]+)h", grounds[0].attrib["d"])
    columns = sorted({float(x) for x, _ in corners})
    rows = sorted({float(y) for _, y in corners})
    assert len(columns) == channels
    assert len(rows) == filters
    seen: dict[tuple[int, int, int, int], int] = {}
    for style, value in (("minus", -1), ("plus", 1)):
        paths = [one for one in of_class(root, style) if one.tag == f"{SVG}path"]
        for x, y, count in squares(paths[0].attrib.get("d", "")):
            channel = max(index for index, left in enumerate(columns) if left <= x)
            filter = max(index for index, top in enumerate(rows) if top <= y)
            column, row = round(x - columns[channel] - RIM), round(y - rows[filter] - RIM)
            for step in range(count):
                seen[filter, channel, row, column + step] = value
    return seen


@pytest.mark.parametrize(
    ("shape", "slab"), [((4, 6, 3, 3), 3), ((3, 4, 1, 1), 2), ((2, 5, 5, 5), 1), ((3, 8, 1, 3), 8)]
)
def test_every_code_is_where_it_belongs(shape: tuple[int, int, int, int], slab: int) -> None:
    found = codes(shape, slab)
    root = parsed(tiles("Codes", found).svg)
    places = list(product(*map(range, shape)))
    wanted = {place: value for place, value in zip(places, found.values, strict=True) if value}
    assert painted(root, found) == wanted


def test_absent_groups_are_slots_and_hold_nothing() -> None:
    absent = ((0, 1), (2, 0), (3, 1))
    found = codes((4, 8, 3, 3), 4, absent)
    root = parsed(tiles("Codes", found).svg)
    drawing = next(one for one in root.iter(f"{SVG}g") if "scale" in one.attrib.get("transform", ""))
    slots = [(float(one.attrib["x"]), float(one.attrib["y"])) for one in of_class(drawing, "absent")]
    grounds = next(one for one in of_class(drawing, "zero"))
    kernels = [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h", grounds.attrib["d"])]
    assert len(slots) == len(absent)
    assert len(kernels) == 4 * (8 - len(absent))
    lefts, tops = sorted({x for x, _ in kernels}), sorted({y for _, y in kernels})
    at = {(tops.index(round(y - 0.15, 4)), lefts.index(round(x - 0.15, 4)) // 4) for x, y in slots}
    assert at == set(absent)
    assert "3 of 8 groups are absent" in root.attrib["aria-label"]
    assert "−1 0 +1 absent group" in " ".join(texts(root))


def test_gaps_between_groups_are_wider_than_between_kernels() -> None:
    grounds = next(of_class(parsed(tiles("Codes", codes((1, 6, 3, 3), 3)).svg), "zero")).attrib["d"]
    lefts = [float(x) for x, _ in re.findall(r"M([\d.]+) ([\d.]+)h", grounds)]
    gaps = [b - a for a, b in pairwise(lefts)]
    assert gaps[2] > max(gaps[:2] + gaps[3:]) + 1


def test_a_large_layer_is_cut_at_a_group_and_says_so() -> None:
    found = codes((MOST_FILTERS + 6, 96, 3, 3), 16, ((0, 0), (69, 5)))
    placed = tiles("Codes", found)
    root = parsed(placed.svg)
    assert left_out(found) == "Shown are 64 of 70 filters and 64 of 96 input channels."
    assert "2 of 420 groups are absent" in root.attrib["aria-label"]  # of the whole layer
    assert float(root.attrib["width"]) == pytest.approx(placed.width, abs=0.01)
    assert "49–64" in texts(root)
    assert "65–80" not in texts(root)
    assert left_out(codes((8, 16, 3, 3), 16)) == ""


def test_one_group_wider_than_the_picture_is_shown_whole() -> None:
    found = codes((2, 256, 3, 3), 256)
    assert left_out(found) == ""
    assert len(painted(parsed(tiles("Codes", found).svg), found)) == sum(map(abs, found.values))


def test_tiles_make_a_file_of_their_own() -> None:
    placed = tiles("Codes of layer1.0.conv1", codes((4, 4, 3, 3), 4, ((1, 0),)))
    svg = standalone("Ternary kernels", [[placed]])
    root = ElementTree.fromstring(svg)
    style = next(root.iter(f"{SVG}style")).text or ""
    assert ".figure .code.plus { fill: #ffffff; }" in style
    assert "var(" not in style
    assert placed.height > HEAD
    assert placed.width > MARGIN


def test_unpacked_is_the_inverse_of_packing() -> None:
    draw = random.Random(1)
    for count in (0, 1, 3, 4, 5, 144):
        values = [draw.choice((-1, 0, 1)) for _ in range(count)]
        assert unpacked(base64.b64decode(packed(values)), count) == values
    assert unpacked(bytes([0b10_01_00_01]), 4) == [1, 0, 1, -1]


@pytest.mark.parametrize(
    ("content", "count", "said"),
    [
        (b"\x00", 5, "5 codes take 2 bytes, not 1"),
        (b"\x00\x00", 4, "4 codes take 1 bytes, not 2"),
        (b"\x03", 1, "the bits 11 are no code"),
        (b"\x04", 1, "there are codes after the last one"),
    ],
)
def test_bits_that_are_no_codes(content: bytes, count: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unpacked(content, count)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_codes_stay_apart(name: str) -> None:
    colours = scheme(name)
    assert contrast(colours["plus"], colours["zero"]) >= 3
    assert contrast(colours["minus"], colours["zero"]) >= 3
    assert contrast(colours["zero"], colours["track"]) >= 2.5  # a slot is not a kernel of zeros


def test_a_column_is_as_wide_as_its_groups_and_as_high_as_they_are_stored() -> None:
    root = parsed(depth("Stored", [Column("a", 10, 10), Column("b", 30, 15), Column("c", 60, 0)]))
    tracks, lengths = list(of_class(root, "track")), list(of_class(root, "bar"))
    widths = [float(one.attrib["width"]) for one in tracks]
    assert [width / sum(widths) for width in widths] == pytest.approx([0.1, 0.3, 0.6], abs=1e-4)
    heights = [float(one.attrib["height"]) / float(tracks[0].attrib["height"]) for one in lengths]
    assert heights == pytest.approx([1, 0.5, 0], abs=1e-3)
    assert "25 of 100 groups are stored, 25.0 %" in root.attrib["aria-label"]
    with pytest.raises(ValueError, match="nothing to draw"):
        depth("Stored", [])


def test_names_of_many_columns_do_not_touch() -> None:
    root = parsed(depth("Stored", [Column(f"layer{index}.conv", 1, 1) for index in range(54)]))
    places = [float(one.attrib["x"]) for one in root.iter(f"{SVG}text") if (one.text or "").startswith("layer")]
    places = places[: -1 if len(places) > 1 and places[-1] < places[-2] else None]
    assert 3 < len(places) < 54
    assert min(b - a for a, b in pairwise(places)) > 60


@pytest.mark.parametrize("threshold", [0.5, 0.31, 7.0, None])
def test_no_column_has_two_colours(threshold: float | None) -> None:
    draw = random.Random(2)
    values = [draw.random() * 2 for _ in range(400)]
    root = parsed(histogram("Norms", values, "norm", "groups", threshold))
    counted = {"t1": 0, "t2": 0}
    for one in root.iter(f"{SVG}g"):
        bar = one.find(f"{SVG}rect")
        if bar is not None:
            counted[bar.attrib["class"].split()[1]] += int((one[0].text or "").split()[-2])
    below = sum(value < threshold for value in values) if threshold else 0
    assert counted == {"t1": 400 - below, "t2": below}


def test_norms_that_are_all_zero_make_a_picture() -> None:
    assert "16 groups" in parsed(histogram("Norms", [0.0] * 16, "norm", "groups", 0.0)).attrib["aria-label"]
    with pytest.raises(ValueError, match="nothing to draw"):
        histogram("Norms", [], "norm", "groups", None)


def test_a_threshold_is_drawn_as_a_share_of_its_highest() -> None:
    one = Evolution("conv1", ((1, 0.8), (2, 1.6), (3, 0.4)), ((1, 0.0), (2, 0.25), (3, 1.0)))
    other = Evolution("conv2", (), ((1, 0.0), (2, 0.0), (3, 0.5)))
    first, second = (parsed(svg) for svg in evolutions([one, other]))
    ends = {dot.attrib["class"]: float(dot.attrib["cy"]) for dot in of_class(first, "dot")}
    marks = {
        label.text: float(label.attrib["y"]) - 4 for label in first.iter(f"{SVG}text") if "%" in (label.text or "")
    }
    assert ends["dot t1"] == pytest.approx(marks["100 %"])
    assert (marks["0 %"] - ends["dot t2"]) / (marks["0 %"] - marks["100 %"]) == pytest.approx(0.25, abs=0.01)
    assert not list(of_class(second, "t2"))
    assert evolutions([Evolution("conv1", (), ())]) == []


def test_areas_are_in_proportion() -> None:
    root = parsed(areas("Size", (1600.0, "1.6 kB", "as float32"), (100.0, "0.1 kB", "this file")))
    track, bar = next(of_class(root, "track")), next(of_class(root, "bar"))
    assert float(track.attrib["width"]) == SIDE
    assert (float(bar.attrib["width"]) / SIDE) ** 2 == pytest.approx(1 / 16, rel=1e-3)
    assert float(bar.attrib["y"]) + float(bar.attrib["height"]) == pytest.approx(float(track.attrib["y"]) + SIDE)


def test_hostile_names_stay_text() -> None:
    for svg in (
        tiles(HOSTILE, codes((2, 2, 3, 3), 1)).svg,
        depth(HOSTILE, [Column(HOSTILE, 1, 1)]),
        histogram(HOSTILE, [1.0], HOSTILE, HOSTILE, 0.5),
        evolutions([Evolution(HOSTILE, (), ((1, 0.5),))])[0],
        areas(HOSTILE, (2.0, HOSTILE, HOSTILE), (1.0, HOSTILE, HOSTILE)),
    ):
        root = parsed(svg)
        assert "<script" not in svg
        assert HOSTILE in (root[0].text or "")
