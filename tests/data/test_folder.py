"""Finding classes and photos in folders, and the words when there are none."""

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.data.folder import read_folder

LAYOUT = """
Expected is one folder for each class, with its photos in it:
    photos/
      ant/   1.jpg  2.jpg  ...
      bee/   1.jpg  2.jpg  ...
or the same inside photos/train/ and, if you like, photos/val/ and photos/test/."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def found(root: Path) -> dict[str, dict[str, list[str]]]:
    return {
        split: {name: [photo.relative_to(root).as_posix() for photo in photos] for name, photos in classes.items()}
        for split, classes in read_folder(root).splits.items()
    }


def numbers(root: Path) -> dict[str, dict[str, int]]:
    return {split: {name: len(photos) for name, photos in c.items()} for split, c in found(root).items()}


def message(root: Path) -> str:
    with pytest.raises(EdgewiseError) as caught:
        read_folder(root)
    return str(caught.value)


def test_class_folders(root: Path, fill: Any) -> None:
    fill(root, {"bee": 2, "ant": 1})
    assert found(root) == {"train": {"ant": ["ant/000.png"], "bee": ["bee/000.png", "bee/001.png"]}}


def test_parts(root: Path, fill: Any) -> None:
    fill(root, {"train/ant": 3, "train/bee": 2, "val/bee": 1, "test/ant": 2})
    assert numbers(root) == {"train": {"ant": 3, "bee": 2}, "val": {"bee": 1}, "test": {"ant": 2}}


@pytest.mark.parametrize(
    "classes",
    [{"BACKGROUND_Google": 2, "Faces_easy": 3, "airplanes": 1}, {"001.ak47": 2, "056.dog": 1, "257.clutter": 3}],
    ids=["caltech101", "caltech256"],
)
def test_caltech_s_layouts(root: Path, fill: Any, classes: dict[str, int]) -> None:
    """As they unpack: class folders, some with numbers in their names, and one of things that are none."""
    fill(root, classes)
    assert numbers(root) == {"train": classes}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val", "VALIDATION"])
def test_spellings_of_val(root: Path, fill: Any, name: str) -> None:
    fill(root, {"Train/ant": 1, "Train/bee": 1, f"{name}/ant": 2})
    assert numbers(root) == {"train": {"ant": 1, "bee": 1}, "val": {"ant": 2}}


def test_two_spellings_at_once(root: Path, fill: Any) -> None:
    fill(root, {"train/ant": 1, "val/ant": 1, "valid/ant": 1})
    assert message(root) == f"{root} has two folders for the same part: val and valid. Merge them."


def test_an_empty_part_is_as_good_as_none(root: Path, fill: Any) -> None:
    fill(root, {"train/ant": 1, "train/bee": 1, "val": 0})
    assert numbers(root) == {"train": {"ant": 1, "bee": 1}}


def test_folders_beside_the_parts_are_reported(root: Path, fill: Any) -> None:
    fill(root, {"train/ant": 1, "train/bee": 1, "unsorted": 3})
    whole = read_folder(root)
    assert whole.skipped == ((Path("unsorted"), "the folder is not called train, val or test"),)
    assert list(whole.splits) == ["train"]


def test_a_class_called_train(root: Path, fill: Any) -> None:
    """Trains, buses and trams: photos lie right in ``train``."""
    fill(root, {"train": 2, "bus": 1, "tram": 1})
    assert numbers(root) == {"train": {"bus": 1, "train": 2, "tram": 1}}


def test_only_test(root: Path, fill: Any) -> None:
    fill(root, {"test/ant": 1, "test/bee": 1})
    assert numbers(root) == {"test": {"ant": 1, "bee": 1}}


def test_folders_inside_a_class(root: Path, fill: Any) -> None:
    fill(root, {"ant/2021/may": 1, "ant/2020": 1, "ant": 1, "bee": 1})
    assert found(root)["train"]["ant"] == ["ant/000.png", "ant/2020/000.png", "ant/2021/may/000.png"]


def test_what_systems_leave_behind_is_ignored(root: Path, fill: Any) -> None:
    fill(root, {"ant": 1, "bee": 1, "__MACOSX/ant": 1, ".git/x": 1, "@eaDir": 1})
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._000.png", "notes.txt"):
        (root / "ant" / name).write_bytes(b"x")
    whole = read_folder(root)
    assert numbers(root) == {"train": {"ant": 1, "bee": 1}}
    assert whole.skipped == ()


def test_photos_of_other_kinds_and_places_are_reported(root: Path, fill: Any, paint: Any) -> None:
    fill(root, {"ant": 1, "bee": 1})
    paint(root / "stray.jpg")
    (root / "ant" / "b.HEIC").write_bytes(b"x")
    (root / "ant" / "a.jpg").symlink_to(root / "gone.jpg")
    os.mkfifo(root / "bee" / "pipe.png")
    assert [(path.as_posix(), reason) for path, reason in read_folder(root).skipped] == [
        ("ant/a.jpg", "it is a broken link, or no ordinary file"),
        ("ant/b.HEIC", "HEIC photos are not read; convert it to JPEG"),
        ("bee/pipe.png", "it is a broken link, or no ordinary file"),
        ("stray.jpg", "it lies outside the class folders"),
    ]


def test_links_are_followed_and_loops_are_not(root: Path, fill: Any, tmp_path: Path) -> None:
    fill(root, {"ant": 1, "bee": 1})
    fill(tmp_path / "elsewhere", {"more": 2, "wasps": 3})
    (root / "ant" / "link.png").symlink_to(tmp_path / "elsewhere" / "more" / "000.png")
    (root / "ant" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (root / "wasp").symlink_to(tmp_path / "elsewhere" / "wasps")
    for number, target in enumerate((root / "ant", root, tmp_path)):
        (root / "ant" / f"loop{number}").symlink_to(target)
    (tmp_path / "elsewhere" / "more" / "back").symlink_to(root / "ant")
    assert numbers(root) == {"train": {"ant": 4, "bee": 1, "wasp": 3}}


def test_the_order_is_that_of_the_names(root: Path, paint: Any) -> None:
    """Whatever the disk says, and however it spells: ``é`` in one character or in two."""
    names = ["z.png", "e\u0301a.png", "eb.png", "\u00e9b.png", "a.png"]
    for number, name in enumerate(names):
        paint(root / "ant" / name, 8, 8, number)
        paint(root / "bee" / name, 8, 8, number)
    assert [photo.name for photo in read_folder(root).splits["train"]["ant"]] == [
        *("a.png", "eb.png", "z.png", "e\u0301a.png", "\u00e9b.png")
    ]


def test_class_names_are_normalised(root: Path, fill: Any) -> None:
    fill(root, {f"train/{unicodedata.normalize('NFD', 'café')}": 1, "train/thé": 1, "test/café": 1})
    assert {split: sorted(classes) for split, classes in found(root).items()} == {
        "train": ["café", "thé"],
        "test": ["café"],
    }


def test_two_classes_with_one_name(root: Path, fill: Any) -> None:
    fill(root, {"cafe\u0301": 1, "caf\u00e9": 1})
    assert message(root) == (
        f"Two class folders in {root} have the same name once Unicode is normalised: "
        "'cafe\u0301' (cafe\\u0301) and 'caf\u00e9' (caf\\xe9). Merge them or rename one."
    )


def test_capitals_make_another_class(root: Path, fill: Any) -> None:
    fill(root, {"Ant": 1, "ant": 2})
    if len(list(root.iterdir())) < 2:
        pytest.skip("this file system does not tell capitals apart")
    assert numbers(root) == {"train": {"Ant": 1, "ant": 2}}


@pytest.mark.parametrize("name", ["caf\udce9", "two\nlines"])
def test_a_class_name_that_is_not_text(root: Path, fill: Any, name: str) -> None:
    fill(root, {"ant": 1, name: 1})
    assert message(root) == f"The class folder {name!a} in {root} has a name that is not text. Rename it."


def test_an_empty_folder(root: Path) -> None:
    assert message(root) == f"The folder {root} is empty.{LAYOUT}"


def test_a_folder_of_other_things(root: Path) -> None:
    for name in ("a.txt", "b.txt", "c.mp4", "README"):
        (root / name).write_text("x")
    assert message(root) == f"The folder {root} holds 2 .txt files, 1 file, 1 .mp4 file.{LAYOUT}"


def test_parts_without_anything(root: Path) -> None:
    (root / "train").mkdir()
    assert message(root) == f"The folder {root} holds 1 folder.{LAYOUT}"


@pytest.mark.parametrize("folder", [".", "train"])
def test_photos_without_class_folders(root: Path, fill: Any, folder: str) -> None:
    fill(root, {folder: 2})
    assert message(root) == (
        f"2 photos directly in the folder {root / folder}, which has no class folders: "
        f"nothing says what is on them.{LAYOUT}"
    )


def test_unsorted_test_photos(root: Path, fill: Any) -> None:
    fill(root, {"train/ant": 1, "train/bee": 1, "test": 3})
    assert message(root).startswith(f"3 photos directly in the folder {root / 'test'}, which has no class folders")


def test_a_class_without_photos(root: Path, fill: Any) -> None:
    fill(root, {"ant": 1, "bee": 0, "cow": 1, "dog": 0})
    (root / "bee" / "1.heic").write_bytes(b"x")
    assert message(root) == (
        f"2 classes of 4 in {root} without photos: bee, dog. The folder {root / 'bee'} holds 1 .heic file. Put photos "
        "in (files ending in .bmp .gif .jpeg .jpg .png .ppm .tif .tiff .webp), or remove the folder."
    )


def test_only_classes_without_photos(root: Path, fill: Any) -> None:
    fill(root, {"train/ant": 0, "train/bee": 0})
    text = message(root)
    assert text.startswith(f"Every class in {root / 'train'} without photos: ant, bee. The folder")
    assert f"{root / 'train' / 'ant'} is empty. Put photos in" in text
