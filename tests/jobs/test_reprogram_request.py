"""What can be said of the parts of a reprogramming, and what is refused, before anything is loaded."""

from typing import Any

import pytest

from edgewise.core.errors import UsageError
from edgewise.jobs.reprogram_preparing import check_room
from edgewise.jobs.reprogram_request import ReprogramRequest, resolve_parts, resolved, settled, side_of
from edgewise.jobs.reprogram_source import SourceRequest, reach
from edgewise.reprogram import MAPPINGS, TRAINERS, TRANSFORMS, Space

CANVAS = Space((3, 224, 192), 0.0, 1.0)


def request(**changes: Any) -> ReprogramRequest:
    return ReprogramRequest("photos", **{"source": "pocket", **changes})


def test_names_of_parts_are_never_the_same() -> None:
    """``--set NAME.SETTING`` says whose setting it is."""
    assert len({*TRANSFORMS, *MAPPINGS, *TRAINERS}) == len(TRANSFORMS) + len(MAPPINGS) + len(TRAINERS)


def test_settings_go_to_their_parts() -> None:
    said = {"pad.size": "96", "pad.grid": "4", "bayesian.top": "3", "gradient.lr": "0.2"}
    parts = resolve_parts(request(mapping="bayesian", settings=said))
    transform, mapping, trainer = (parts[role] for role in ("transform", "mapping", "trainer"))
    assert (transform.size, transform.grid, mapping.top, trainer.lr) == (96, 4, 3, 0.2)
    assert resolve_parts(request(m=5))["mapping"].labels == 5
    assert resolved(request(m=5), resolve_parts(request(m=5)))["mapping"]["labels"] == 5


def test_the_usual_parts_depend_on_what_can_be_looked_into() -> None:
    white, black = resolve_parts(request()), resolve_parts(request(black_box="probs"))
    assert (white["trainer"].name, white["transform"].grid) == ("gradient", 0)
    assert (black["trainer"].name, black["transform"].grid) == ("sphere", 8)
    assert resolve_parts(request(source="http://host", settings={"pad.grid": "0"}))["transform"].grid == 0


def test_a_photo_fills_three_quarters_of_the_canvas_where_nobody_said_otherwise() -> None:
    parts = settled(resolve_parts(request()), CANVAS)
    assert (parts["transform"].size, side_of(parts, CANVAS)) == (144, 144)
    own = settled(resolve_parts(request(settings={"pad.size": "100"})), CANVAS)
    assert side_of(own, CANVAS) == 100
    assert side_of(resolve_parts(request(transform="prompt")), CANVAS) == 192


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"transform": "pda"}, "no transform 'pda'. Did you mean 'pad'?"),
        ({"mapping": "frequence"}, "no mapping 'frequence'. Did you mean 'frequency'?"),
        ({"trainer": "shpere"}, "no trainer 'shpere'. Did you mean 'sphere'?"),
        ({"black_box": "prob"}, "no kind of answer 'prob'. Did you mean 'probs'?"),
        ({"settings": {"size": "96"}}, "--set size=96 does not say whose setting it is: write --set pad.size=96"),
        ({"settings": {"labels": "2"}}, "write --set frequency.labels=2"),
        ({"settings": {"pda.size": "96"}}, "no part of this run 'pda'. Did you mean 'pad'?"),
        ({"settings": {"pad.sise": "96"}}, "no setting of Pad 'sise'. Did you mean 'size'?"),
        ({"settings": {"pad.size": "big"}}, "size='big' is not a whole number"),
        ({"settings": {"pad.bound": "tan"}}, "bound is 'tan'; choose one of tanh, clip"),
        ({"m": 2, "mapping": "linear"}, "the mapping linear gives it none of its own"),
        ({"m": 2, "settings": {"frequency.labels": "3"}}, "--m and --set frequency.labels say the same"),
        ({"m": 0}, "m is 0; it must be from 1"),
        ({"budget": 100}, "--budget is for a source that only answers: add --black-box"),
        ({"price": 0.1}, "--price is for a source that only answers"),
        ({"budget": 0, "black_box": "probs"}, "budget is 0; it must be from 1"),
        ({"epochs": -1}, "epochs is -1"),
        ({"source": "http://host", "weights": "a.pth", "width": 0.5}, "--weights and --width cannot be chosen"),
    ],
)
def test_mistakes(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve_parts(request(**changes))
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("address", "token", "complaint"),
    [
        ("http://host:8000", None, "needs a token: give it by --token, or in the variable EDGEWISE_TOKEN"),
        ("http://host:8000", "", "needs a token"),
        ("http://host:8000", "a\nb", "plain ASCII"),
        ("http://host:8000", "gehéim", "plain ASCII"),
        ("ftp://host", "secret", "write http://HOST:PORT"),
        ("http://", "secret", "write http://HOST:PORT"),
        ("http://host:99999", "secret", "write http://HOST:PORT"),
        ("http://ho st", "secret", "write http://HOST:PORT"),
        ("http://me:word@host", "secret", "may hold no password"),
        ("http://host?token=word", "secret", "may hold no password"),
    ],
)
def test_addresses(address: str, token: str | None, complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        reach(SourceRequest(address), token)
    assert complaint in str(refused.value)
    assert "word" not in str(refused.value).replace("no password", "")


def test_photos_must_have_room() -> None:
    check_room(1000, 224, None)
    check_room(1000, 224, 200_000_000)
    with pytest.raises(UsageError, match=r"1,000 .* photos at 224 x 224 pixels take 150.53 MB .* 180.00 MB are free"):
        check_room(1000, 224, 180_000_000)
    with pytest.raises(UsageError, match="photos can be read at 8 to 4096"):
        side_of(resolve_parts(request(settings={"pad.size": "4"})), CANVAS)
