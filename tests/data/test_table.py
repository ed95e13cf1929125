"""Photos named in a CSV file."""

from pathlib import Path
from typing import Any

import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.data.table import read_table

EXPECTED = "Expected are lines such as ant/1.jpg,ant or, with parts of your own, ant/1.jpg,ant,train (or val, test)."


@pytest.fixture
def root(tmp_path: Path, fill: Any) -> Path:
    fill(tmp_path, {"ant": 3, "bee": 2})
    return tmp_path


def table(root: Path, content: str | bytes) -> Path:
    file = root / "photos.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(root: Path, content: str | bytes) -> dict[str, dict[str, list[str]]]:
    whole = read_table(table(root, content))
    assert whole.root == root
    return {
        split: {name: [photo.relative_to(root).as_posix() for photo in photos] for name, photos in classes.items()}
        for split, classes in whole.splits.items()
    }


def message(root: Path, content: str | bytes) -> str:
    with pytest.raises(EdgewiseError) as caught:
        read_table(table(root, content))
    return str(caught.value)


PLAIN = {"train": {"ant": ["ant/000.png", "ant/001.png"], "bee": ["bee/000.png"]}}


@pytest.mark.parametrize(
    "content",
    [
        "ant/000.png,ant\nant/001.png,ant\nbee/000.png,bee\n",
        "path,label\nant/000.png,ant\nant/001.png,ant\nbee/000.png,bee",
        "\ufeffpath,label\r\nbee/000.png,bee\r\n\r\nant/001.png,ant\r\nant/000.png,ant\r\n",
        "Label;Note;Filename\nant;x;ant/001.png\nbee;;bee/000.png\nant;y;ant/000.png\n",
        "ant/000.png\tant\nant/001.png\t ant \nbee/000.png\tbee\n",
        '"ant/000.png", "ant"\n"ant/001.png", "ant"\n"bee/000.png", "bee"\n',
        "./ant/000.png,ant,\nant/001.png,ant,train\nbee/000.png,bee,Train\n",
        "path,label,split\nant/000.png,ant,\nant/001.png,ant,train\nbee/000.png,bee,train\n",
    ],
)
def test_spellings(root: Path, content: str) -> None:
    assert read(root, content) == PLAIN


def test_parts(root: Path) -> None:
    content = "ant/000.png,ant,train\nant/001.png,ant,validation\nbee/000.png,bee,test\nbee/001.png,bee,VAL\n"
    assert read(root, content) == {
        "train": {"ant": ["ant/000.png"]},
        "val": {"ant": ["ant/001.png"], "bee": ["bee/001.png"]},
        "test": {"bee": ["bee/000.png"]},
    }


def test_labels_may_hold_separators_and_be_spelled_in_two_ways(root: Path) -> None:
    content = 'ant/000.png,"ant, red"\nant/001.png,caf\u00e9\nbee/000.png,cafe\u0301\n'
    assert read(root, content) == {
        "train": {"ant, red": ["ant/000.png"], "caf\u00e9": ["ant/001.png", "bee/000.png"]},
    }


def test_absolute_paths(root: Path, tmp_path_factory: pytest.TempPathFactory, paint: Any) -> None:
    far = paint(tmp_path_factory.mktemp("far") / "a.png")
    whole = read_table(table(root, f"{far},ant\nbee/000.png,bee\n"))
    assert whole.splits["train"]["ant"] == (far,)


@pytest.mark.parametrize("content", ["", "\n\n", "path,label\n", "\ufeff"])
def test_no_rows(root: Path, content: str) -> None:
    assert message(root, content) == f"There are no rows in {root / 'photos.csv'}. {EXPECTED}"


def test_every_bad_line_is_counted(root: Path) -> None:
    content = "ant/000.png,ant\nant/001.png\n,ant\nant/002.png,ant,dev\nant/002.png,ant,val,3\nx\ny\nz,\n"
    assert message(root, content) == (
        f"7 lines of {root / 'photos.csv'} cannot be understood:\n"
        "    line 2 has no label\n"
        "    line 3 has no path\n"
        "    line 4 has the split 'dev'\n"
        "    line 5 has 4 columns, and there is no header\n"
        "    line 6 has no label\n"
        f"    and 2 more\n{EXPECTED}"
    )


def test_missing_photos_are_counted(root: Path) -> None:
    rows = "".join(f"ant/{number:03d}.png,ant\n" for number in range(9))
    assert message(root, "path,label\n" + rows) == (
        f"6 of the 9 photos named in {root / 'photos.csv'} do not exist:\n"
        + "".join(f"    line {number + 2}: ant/{number:03d}.png\n" for number in range(3, 8))
        + f"    and 1 more\nPaths are relative to {root}."
    )


def test_a_column_of_long_texts_is_not_a_column_of_paths(root: Path) -> None:
    assert message(root, f"{'word ' * 200},1\n").startswith("1 of the 1 photo named in")


def test_a_photo_named_twice(root: Path) -> None:
    assert message(root, "ant/000.png,ant,train\nbee/000.png,bee\n./ant/000.png,ant,test\n") == (
        f"1 photo named more than once in {root / 'photos.csv'}:\n"
        "    line 3: ./ant/000.png, also in line 1\nKeep one line for each photo."
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            "ant/000.png,caf\xe9\n".encode("latin-1"),
            "is not UTF-8 text (invalid continuation byte). Save it as CSV UTF-8.",
        ),
        (b"a,\0\0b\n", "is not a table of text: there are zero bytes in it."),
    ],
)
def test_not_text(root: Path, content: bytes, text: str) -> None:
    assert message(root, content).startswith(f"{root / 'photos.csv'} {text}")


def test_a_quote_that_never_ends(root: Path) -> None:
    assert message(root, 'ant/000.png,ant\n"bee/000.png,bee\n').startswith(
        f"Line 2 of {root / 'photos.csv'} cannot be understood (unexpected end of data). {EXPECTED[:8]}"
    )
