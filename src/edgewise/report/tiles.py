"""The codes of a ternary layer as squares: black -1, grey 0, white +1, and nothing where a group is absent.

A row is a filter, a tile in it the kernel of one input channel, and the kernels of a group stand together: what one
processing element computes (the dissertation's Figure 5).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from edgewise.report.standalone import Placed
from edgewise.report.svg import extent, figure, group, label, tag

VALUES = (0, 1, -1)  # of the two bits 00, 01 and 10; 11 is illegal
MOST_ACROSS, MOST_FILTERS = 192, 64  # weights in a row, and rows: more would be a texture
WIDEST, HIGHEST = 960.0, 780.0  # pixels of the picture
LARGEST, LARGE_ENOUGH = 7.5, 5.0  # of one weight
RIM, KERNELS, GROUPS, FILTERS = 0.3, 0.5, 1.9, 0.7  # of a weight: around a kernel, and between those
HEAD, FOOT, SIDE = 42.0, 44.0, 40.0
LEGEND = (("code minus", "−1"), ("code zero", "0"), ("code plus", "+1"), ("absent", "absent group"))
FITS = 430  # wider, and a telephone could show it only unreadably small


@dataclass(frozen=True)
class Codes:
    """Of one layer: ``values`` of -1, 0 and 1 in the order of its weight ``shape`` (N, C, K, K).

    ``slab`` input channels of a filter are a group; it divides C.
    """

    shape: tuple[int, int, int, int]
    slab: int
    values: Sequence[int]

    def kernel(self, filter: int, channel: int) -> list[Sequence[int]]:
        """The rows of one kernel."""
        _, channels, high, wide = self.shape
        start = (filter * channels + channel) * high * wide
        return [self.values[start + row * wide : start + (row + 1) * wide] for row in range(high)]

    def absent(self, filter: int, first: int) -> bool:
        """Is the group that begins at channel ``first`` nothing but zeros?"""
        _, channels, high, wide = self.shape
        start = (filter * channels + first) * high * wide
        return not any(self.values[start : start + self.slab * high * wide])


@dataclass(frozen=True)
class _Grid:
    """Where things lie, in weights; ``channels`` and ``filters`` are those that are shown."""

    codes: Codes
    channels: int
    filters: int

    def x(self, channel: int) -> float:
        wide = self.codes.shape[3]
        return channel * (wide + 2 * RIM + KERNELS) + channel // self.codes.slab * (GROUPS - KERNELS)

    def y(self, filter: int) -> float:
        return filter * (self.codes.shape[2] + 2 * RIM + FILTERS)

    @property
    def width(self) -> float:
        return self.x(self.channels - 1) + self.codes.shape[3] + 2 * RIM

    @property
    def height(self) -> float:
        return self.y(self.filters - 1) + self.codes.shape[2] + 2 * RIM

    def groups(self) -> Iterator[tuple[int, int]]:
        """(filter, first channel) of every group."""
        for filter in range(self.filters):
            yield from ((filter, first) for first in range(0, self.channels, self.codes.slab))


def unpacked(packed: bytes, count: int) -> list[int]:
    """``count`` codes of two bits, four to a byte, the first in the lowest bits: 00 is 0, 01 is 1 and 10 is -1.

    Raises `ValueError` where bytes are missing or over, and for the bits 11.
    """
    if len(packed) != -(-count // 4):
        raise ValueError(f"{count} codes take {-(-count // 4)} bytes, not {len(packed)}")
    bits = [byte >> shift & 3 for byte in packed for shift in (0, 2, 4, 6)]
    if 3 in bits:
        raise ValueError("the bits 11 are no code")
    if any(bits[count:]):
        raise ValueError("there are codes after the last one")
    return [VALUES[pair] for pair in bits[:count]]


def tiles(heading: str, codes: Codes) -> Placed:
    """The picture of ``codes``, for a page or, by `edgewise.report.standalone`, a file of its own.

    Of a large layer the first filters and input channels; the text above the picture says which.
    """
    filters, channels, high, wide = codes.shape
    fits = max(1, MOST_ACROSS // (codes.slab * wide)) * codes.slab
    grid = _Grid(codes, min(channels, fits), min(filters, MOST_FILTERS))
    cell = _cell(grid)
    stored = [place for place in grid.groups() if not codes.absent(*place)]
    gone = [place for place in grid.groups() if codes.absent(*place)]
    picture = group(
        tag("path", d="".join(_ground(grid, *place) for place in stored), class_="code zero"),
        tag("path", d=_squares(grid, stored, -1), class_="code minus"),
        tag("path", d=_squares(grid, stored, 1), class_="code plus"),
        *(_outline(grid, *place) for place in gone),
        transform=f"translate({SIDE:g} {HEAD:g}) scale({cell:.3f})",
    )
    width = max(SIDE + cell * grid.width + 2, _legend_width())
    height = HEAD + cell * grid.height + FOOT
    all_groups = filters * channels // codes.slab
    absent = sum(codes.absent(one, first) for one in range(filters) for first in range(0, channels, codes.slab))
    words = (
        f"{filters} filters of {channels} kernels with {high} x {wide} weights, in groups of {codes.slab} kernels. "
        f"{absent} of {all_groups} groups are absent."
    )
    body = [picture, *_numbers(grid, cell), _legend(SIDE, HEAD + cell * grid.height + 18)]
    svg = figure(width, height, heading, words, "".join(body), "wide" if width > FITS else "sheet")
    return Placed(heading, svg, width, height)


def left_out(codes: Codes) -> str:
    """Which part of a layer too large for the picture `tiles` shows; empty where it is the whole."""
    filters, channels, _, wide = codes.shape
    fits = min(channels, max(1, MOST_ACROSS // (codes.slab * wide)) * codes.slab)
    if filters <= MOST_FILTERS and channels == fits:
        return ""
    return f"Shown are {min(filters, MOST_FILTERS)} of {filters} filters and {fits} of {channels} input channels."


def _cell(grid: _Grid) -> float:
    """Pixels of one weight; where they still are large enough so, those with which the picture fits a telephone."""
    largest, fitting = min(LARGEST, WIDEST / grid.width, HIGHEST / grid.height), (FITS - SIDE - 2) / grid.width
    return fitting if LARGE_ENOUGH <= fitting < largest else largest


def _ground(grid: _Grid, filter: int, first: int) -> str:
    """The kernels of a group as grey squares, a rim wider than their weights."""
    _, _, high, wide = grid.codes.shape
    w, h = wide + 2 * RIM, high + 2 * RIM
    return "".join(
        f"M{_short(grid.x(channel))} {_short(grid.y(filter))}h{w:g}v{h:g}h-{w:g}z"
        for channel in range(first, first + grid.codes.slab)
    )


def _squares(grid: _Grid, places: Sequence[tuple[int, int]], value: int) -> str:
    """The weights that are ``value``, neighbours of one row joined."""
    parts = []
    for filter, first in places:
        for channel in range(first, first + grid.codes.slab):
            left, top = grid.x(channel) + RIM, grid.y(filter) + RIM
            for row, weights in enumerate(grid.codes.kernel(filter, channel)):
                column = 0
                for one, run in groupby(weights):
                    count = len(list(run))
                    if one == value:
                        parts.append(f"M{_short(left + column)} {_short(top + row)}h{count}v1h-{count}z")
                    column += count
    return "".join(parts)


def _outline(grid: _Grid, filter: int, first: int) -> str:
    last = first + grid.codes.slab - 1
    _, _, high, wide = grid.codes.shape
    return tag(
        "rect",
        x=grid.x(first) + 0.15,
        y=grid.y(filter) + 0.15,
        width=grid.x(last) - grid.x(first) + wide + 2 * RIM - 0.3,
        height=high + 2 * RIM - 0.3,
        rx=0.6,
        class_="absent",
    )


def _numbers(grid: _Grid, cell: float) -> Iterator[str]:
    """The numbers of filters at the left, and of input channels above."""
    codes = grid.codes
    every = next(step for step in (1, 2, 4, 8, 16, 32, 64) if step * cell * grid.y(1) >= 15)
    for filter in range(every - 1, grid.filters, every):
        y = HEAD + cell * (grid.y(filter) + codes.shape[2] / 2 + RIM) + 4
        yield label(SIDE - 8, y, str(filter + 1), "muted small", "end")
    yield label(SIDE - 8, HEAD - 9, "filter", "muted small", "end")
    yield label(SIDE, HEAD - 27, "input channels", "muted small")
    end = 0.0
    for first in range(0, grid.channels, codes.slab):
        text = f"{first + 1}–{first + codes.slab}" if codes.slab > 1 else str(first + 1)
        x = SIDE + cell * grid.x(first)
        if x >= end and x + extent(text, 11) <= SIDE + cell * grid.width + 2:
            yield label(x, HEAD - 9, text, "muted small")
            end = x + extent(text, 11) + 8


def _legend(x: float, y: float) -> str:
    parts = []
    for style, text in LEGEND:
        parts.append(
            tag("rect", x=x, y=y, width=14, height=14, rx=2, class_="code zero" if style != "absent" else style)
        )
        if style in ("code minus", "code plus"):
            parts.append(tag("rect", x=x + 2.5, y=y + 2.5, width=9, height=9, class_=style))
        parts.append(label(x + 20, y + 11.5, text, "small"))
        x += 20 + extent(text, 12.5) + 16
    return group(*parts, class_="legend")


def _legend_width() -> float:
    return SIDE + sum(36 + extent(text, 12.5) for _, text in LEGEND)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
