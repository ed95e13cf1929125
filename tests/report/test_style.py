"""Every pair of colours that carries text or a figure has the contrast that WCAG asks for, in both schemes."""

import re
from importlib.resources import files

import pytest

from edgewise.report.matrix import TINTS

STYLE = (files("edgewise.report") / "templates" / "style.css.j2").read_text(encoding="utf-8")
Colour = tuple[float, float, float]


def scheme(name: str) -> dict[str, Colour]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    declared = " ".join(blocks if name == "dark" else blocks[:1])
    pairs = re.findall(r"--([\w-]+): #([0-9a-f]{6})", declared)
    return {key: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)) for key, value in pairs}  # type: ignore[misc]


def luminance(colour: Colour) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mixed(over: Colour, under: Colour, share: float) -> Colour:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(over, under, strict=True))
    return red, green, blue


def opacity(step: int) -> float:
    found = re.search(rf"\.figure \.h{step} \{{ fill-opacity: ([\d.]+)", STYLE)
    assert found
    return float(found[1])


def test_the_measure_itself() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast((0.5, 0.5, 0.5), (1, 1, 1)) < 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card", "sunk", "note"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent"])
def test_text(name: str, ground: str, ink: str) -> None:
    colours = scheme(name)
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("tone", ["t1", "t2", "t3", "t4"])
def test_lines_and_their_names(name: str, tone: str) -> None:
    colours = scheme(name)
    assert contrast(colours[tone], colours["card"]) >= 4.5
    assert contrast(colours[tone], colours["track"]) >= 3


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("kind", ["right", "wrong"])
@pytest.mark.parametrize("step", range(1, len(TINTS) + 1))
def test_counts_on_every_tint(name: str, kind: str, step: int) -> None:
    colours = scheme(name)
    ink = colours["on-heat" if step >= 7 else "ink"]  # as the matrix marks its strong cells
    assert contrast(ink, mixed(colours[kind], colours["card"], opacity(step))) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
def test_right_and_wrong_stay_apart_for_colour_blind_eyes(name: str) -> None:
    """Blue against orange: the yellow-blue axis, which red-green blindness leaves alone."""
    colours = scheme(name)
    for one, other in (("right", "wrong"), ("t1", "t2")):
        bluer = colours[one][2] - (colours[one][0] + colours[one][1]) / 2
        yellower = colours[other][2] - (colours[other][0] + colours[other][1]) / 2
        assert bluer - yellower > 0.35
