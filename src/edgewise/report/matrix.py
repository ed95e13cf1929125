"""The confusion matrix, from two classes to hundreds."""

from collections.abc import Sequence
from math import ceil

from edgewise.report.svg import clipped, extent, figure, group, hint, label, tag

COUNTED = 20  # up to here every cell carries its count
NAMED = 60  # up to here every class has its name beside it
# Shares of a row up to which a cell has tint 1, 2, … 8; most shares are small or close to one.
TINTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.75, 0.9, 1.0)
LEGEND = 54
FITS = 430  # wider, and a telephone could show it only unreadably small
MOST_NAME, BESIDE = 120.0, 34  # pixels for the names, and for "truth" or "predicted" and the gaps


def tint(share: float) -> int:
    """1..8 for a share above 0, 0 for none."""
    return 0 if share <= 0 else next((step for step, most in enumerate(TINTS, 1) if share <= most), len(TINTS))


def matrix(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """Rows are the truth, columns the answers; a cell's tint is its share of the row.

    ``confusion[truth][answer]`` counts images.  Right answers (the diagonal) and wrong ones have
    two colours that stay apart for colour-blind eyes.
    """
    size = len(classes)
    cell = _cell(size)
    font = 12.5 if cell > 14 else 11.0
    longest = min(MOST_NAME, max(extent(name) for name in classes)) if size <= NAMED else 34.0
    gutter = longest + BESIDE
    flat = size <= COUNTED and longest < cell - 4
    head = 40.0 if flat else longest + BESIDE
    side = cell * size
    cells = _counted(classes, confusion, cell, font) if size <= COUNTED else _heat(confusion)
    scale, heat = ("", "") if size <= COUNTED else (f" scale({cell:g})", " heat")
    body = [
        group(cells, class_=f"cells{heat}", transform=f"translate({gutter:g} {head:g}){scale}"),
        tag("rect", x=gutter, y=head, width=side, height=side, class_="frame"),
        label(gutter + side / 2, 12, "predicted", "muted", "middle"),
        label(12, head + side / 2, "truth", "muted", "middle", -90),
        *_names(classes, longest, head, cell, font, flat),
        _legend(gutter, head + side + 16, heat),
    ]
    right = sum(confusion[index][index] for index in range(size))
    words = f"{right} of {sum(map(sum, confusion))} images are on the diagonal, where truth and answer agree."
    width = max(gutter + side + 8, gutter + 270)
    return figure(width, head + side + LEGEND, title, words, "".join(body), "wide" if width > FITS else "sheet")


def _cell(size: int) -> float:
    if size <= COUNTED:
        return 52 if size <= 4 else 42 if size <= 8 else 34 if size <= 12 else 30
    return max(2.0, 600 / size)


def _counted(classes: Sequence[str], confusion: Sequence[Sequence[int]], cell: float, font: float) -> str:
    parts = []
    for truth, row in enumerate(confusion):
        total = sum(row)
        for answer, count in enumerate(row):
            share = count / total if total else 0.0
            kind = "right" if truth == answer else "wrong"
            strong = " strong" if tint(share) >= 7 else ""
            box = tag(
                "rect",
                x=answer * cell + 1,
                y=truth * cell + 1,
                width=cell - 2,
                height=cell - 2,
                rx=3,
                class_=f"{kind} h{tint(share)}",
            )
            if not count:
                parts.append(box)
                continue
            text = f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"
            middle = label((answer + 0.5) * cell, (truth + 0.5) * cell + 0.35 * font, text, f"count{strong}", "middle")
            told = "recognised" if truth == answer else f"taken for {classes[answer]}"
            parts.append(
                group(hint(f"{classes[truth]} {told}: {count:,} of {total:,} ({100 * share:.1f} %)"), box, middle)
            )
    return "".join(parts)


def _heat(confusion: Sequence[Sequence[int]]) -> str:
    """One path per colour and tint, neighbours joined: hundreds of classes stay a small file."""
    paths: dict[tuple[str, int], list[str]] = {}
    for truth, row in enumerate(confusion):
        total, column = sum(row), 0
        keys = [
            ("right" if truth == answer else "wrong", tint(count / total if total else 0))
            for answer, count in enumerate(row)
        ]
        while column < len(keys):
            end = column
            while end < len(keys) and keys[end] == keys[column]:
                end += 1
            if keys[column][1]:
                width = end - column
                paths.setdefault(keys[column], []).append(f"M{column} {truth}h{width}v1h-{width}z")
            column = end
    return "".join(
        tag("path", d="".join(parts), class_=f"{kind} h{step}") for (kind, step), parts in sorted(paths.items())
    )


def _names(classes: Sequence[str], room: float, head: float, cell: float, font: float, flat: bool) -> list[str]:
    every = 1 if len(classes) <= NAMED else ceil(14 / cell)
    gutter = room + BESIDE
    style = "" if font > 12 else "small"
    parts = []
    for index, name in enumerate(classes):
        if index % every:
            continue
        shown = clipped(name, room) if len(classes) <= NAMED else str(index + 1)
        at = (index + 0.5) * cell
        told = hint(name)
        parts.append(group(told, label(gutter - 6, head + at + 4, shown, style, "end")))
        if flat:
            parts.append(group(told, label(gutter + at, head - 8, shown, style, "middle")))
        else:
            parts.append(group(told, label(gutter + at + 4, head - 6, shown, style, "start", -90)))
    return parts


def _legend(x: float, y: float, heat: str) -> str:
    parts = [label(x, y + 10, "right", "muted small"), label(x, y + 26, "wrong", "muted small")]
    for step in range(1, len(TINTS) + 1):
        for row, kind in enumerate(("right", "wrong")):
            parts.append(
                tag(
                    "rect",
                    x=x + 40 + 18 * step - 18,
                    y=y + 16 * row,
                    width=16,
                    height=13,
                    rx=2,
                    class_=f"{kind} h{step}",
                )
            )
    parts.append(label(x + 40 + 18 * len(TINTS) + 4, y + 10, "0 to 100 %", "muted small"))
    parts.append(label(x + 40 + 18 * len(TINTS) + 4, y + 26, "of its row", "muted small"))
    return group(*parts, class_=f"legend{heat}")
