"""How the groups of every layer empty over the epochs, and the penalty's threshold with them: many small charts."""

from collections.abc import Sequence

from edgewise.core.units import percent
from edgewise.report.compress_record import Evolution
from edgewise.report.curves import Line, thinned
from edgewise.report.scale import Linear
from edgewise.report.svg import figure, group, hint, label, tag

WIDTH, HEIGHT = 210, 104
TOP, BOTTOM, LEFT, RIGHT = 10, 20, 54, 10
MOST_POINTS = 60
MARKS = (0.0, 0.5, 1.0)
ABSENT, THRESHOLD = 1, 2  # tones


def evolutions(layers: Sequence[Evolution]) -> list[str]:
    """A chart for each layer, all from 0 to 100 %: groups that are absent, and the threshold as a share of its highest.

    The threshold is left out where a layer has none.  Nothing for layers without epochs.
    """
    drawn = [layer for layer in layers if layer.sparsity]
    if not drawn:
        return []
    first, last = drawn[0].sparsity[0][0], drawn[0].sparsity[-1][0]
    aside = 0.5 if first == last else 0.0
    across = Linear(first - aside, last + aside, LEFT, WIDTH - RIGHT)
    up = Linear(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    ground = "".join(
        tag("path", d=f"M{LEFT} {up(mark):.1f}H{WIDTH - RIGHT + 4}", class_="grid")
        + label(LEFT - 8, up(mark) + 4, f"{100 * mark:g} %", "muted", "end")
        for mark in MARKS
    )
    ground += label(across(first), HEIGHT - 4, f"{first:g}", "muted", "middle")
    if first != last:
        ground += label(min(WIDTH, across(last) + 8), HEIGHT - 4, f"epoch {last:g}", "muted", "end")
    return [_chart(layer, ground, across, up) for layer in drawn]


def _chart(layer: Evolution, ground: str, across: Linear, up: Linear) -> str:
    highest = max((value for _, value in layer.delta), default=0.0) or 1.0
    shares = tuple((epoch, value / highest) for epoch, value in layer.delta)
    lines = [Line("threshold", thinned(shares, MOST_POINTS), THRESHOLD)] if shares else []
    lines.append(Line("absent groups", thinned(layer.sparsity, MOST_POINTS), ABSENT))
    words = f"Absent groups: {percent(layer.sparsity[0][1])} at first, {percent(layer.sparsity[-1][1])} at the end."
    if layer.delta:
        words += f" Threshold: {layer.delta[0][1]:.3g} at first, {layer.delta[-1][1]:.3g} at the end."
    body = (_drawn(line, across, up) for line in lines)
    return figure(WIDTH, HEIGHT, f"Evolution of {layer.name}", words, ground + "".join(body))


def _drawn(line: Line, across: Linear, up: Linear) -> str:
    path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line.points)
    x, y = line.points[-1]
    return group(
        hint(f"{line.name}: {percent(y)} in the last epoch"),
        tag("path", d=f"M{path}", class_=f"line t{line.tone}"),
        tag("circle", cx=across(x), cy=up(y), r=3, class_=f"dot t{line.tone}"),
    )
