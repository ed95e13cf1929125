import math
from typing import Any

import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.report.section import Section, printable, relative, without_folders


def section(**value: Any) -> Section:
    return Section({"outer": value}, "", "runs/a/record.json").section("outer")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("text", 3, "outer.x is 3; it must be text"),
        ("number", "many", "outer.x is 'many'; it must be a number"),
        ("number", True, "outer.x is True; it must be a number"),
        ("number", math.nan, "outer.x is nan; it must be a number"),
        ("number", None, "outer.x is None; it must be a number"),
        ("count", 1.5, "outer.x is 1.5; it must be a whole number, zero or more"),
        ("count", -1, "outer.x is -1; it must be a whole number, zero or more"),
        ("share", 94.4, "outer.x is 94.4; it must be between 0 and 1"),
        ("section", [], "outer.x is []; it must be a section of its own"),
        ("items", "rose", "outer.x is 'rose'; it must be a list"),
        ("texts", ["rose", 2], "outer.x[1] is 2; it must be text"),
        ("sections", [{}, "rose"], "outer.x[1] is 'rose'; it must be a section of its own"),
    ],
)
def test_a_wrong_value_is_named_in_full(kind: str, value: Any, words: str) -> None:
    with pytest.raises(EdgewiseError) as caught:
        getattr(section(x=value), kind)("x")
    assert str(caught.value) == f"In runs/a/record.json, {words}. Was it edited?"


@pytest.mark.parametrize("kind", ["text", "number", "number_or_none", "count", "share", "section", "items", "texts"])
def test_a_missing_key_is_named_in_full(kind: str) -> None:
    with pytest.raises(EdgewiseError) as caught:
        getattr(section(y=1), kind)("x")
    assert str(caught.value) == (
        "runs/a/record.json has no outer.x, which its page needs. "
        "Was it edited, or written by another version of Edgewise?"
    )


def test_null_is_not_measured() -> None:
    assert section(x=None).number_or_none("x") is None
    assert section(x=None).share("x") is None


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(EdgewiseError) as caught:
        section(x="y" * 5000).number("x")
    assert len(str(caught.value)) < 200


def test_settings_are_flat_and_without_folders() -> None:
    value = section(lr=0.001, weights="/home/ann smith/w.safetensors", none=None, augment={"flip": False}, mean=[1, 2])
    assert list(value.settings()) == [
        ("lr", "0.001"),
        ("weights", "w.safetensors"),
        ("augment.flip", "False"),
        ("mean", "1, 2"),
    ]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("test/rose/1.jpg", "test/rose/1.jpg"),
        ("/home/ann/photos/1.jpg", "1.jpg"),
        ("C:\\Users\\Ann\\1.jpg", "1.jpg"),
        ("../photos/1.jpg", "../photos/1.jpg"),
    ],
)
def test_photos_are_named_without_the_users_folders(path: str, shown: str) -> None:
    assert relative(path) == shown
    assert section(file=path).path("file") == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot identify image file '/home/ann/rose/1.jpg'", "cannot identify image file '1.jpg'"),
        ("C:\\Users\\Ann\\1.jpg is empty", "1.jpg is empty"),
        ("~/photos/1.jpg is empty", "1.jpg is empty"),
        ("3/4 of rose/1.jpg, see https://example.org/a/b", "3/4 of rose/1.jpg, see https://example.org/a/b"),
    ],
)
def test_absolute_paths_in_sentences(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_characters_no_page_may_carry() -> None:
    assert printable("a\x00b\x1b[31m\ud800\u202egpj.exe") == "a\ufffdb\ufffd[31m\ufffd\ufffdgpj.exe"
    assert printable("Grüße, 日本\n") == "Grüße, 日本\n"
