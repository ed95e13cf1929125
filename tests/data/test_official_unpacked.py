"""Bytes become a folder of pictures: once, whole or not at all, and looked at each time."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import Found
from edgewise.data.official import unpacked as unpacking
from edgewise.data.official.unpacked import Picture, unpacked


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source.bin").write_bytes(b"photos")
    return tmp_path / "source.bin"


def three(places: tuple[str, ...] = ("train/a/1", "train/b/0", "test/a/0")) -> Iterator[Picture]:
    for number, place in enumerate(places):
        yield place, Image.new("RGB", (4, 3), (number, 2, 3))


def again() -> Iterator[Picture]:
    raise AssertionError("unpacked a second time")
    yield


def names(found: Found) -> dict[str, list[str]]:
    return {
        f"{split}/{label}": [path.relative_to(found.root).as_posix() for path in paths]
        for split, labels in found.splits.items()
        for label, paths in labels.items()
    }


def test_once(cache: Path, source: Path) -> None:
    first = unpacked("set", [source], three)
    assert names(first) == {
        "train/a": ["train/a/1.bmp"],
        "train/b": ["train/b/0.bmp"],
        "test/a": ["test/a/0.bmp"],
    }
    assert first.root.parent == cache
    assert [path.name for path in cache.iterdir()] == [first.root.name]
    assert unpacked("set", [source], again) == first


def test_another_source_is_another_folder(source: Path, cache: Path) -> None:
    first = unpacked("set", [source], three)
    source.write_bytes(b"Photos")
    second = unpacked("set", [source], lambda: three(("train/a/0", "train/b/0")))
    assert first.root != second.root
    assert first.root.is_dir()
    source.write_bytes(b"photos")
    assert unpacked("set", [source], again) == first


@pytest.mark.parametrize("damage", ["removed", "added", "changed", "cut", "renamed", "no list", "list cut off"])
def test_a_damaged_folder_is_made_again(cache: Path, source: Path, damage: str) -> None:
    first = unpacked("set", [source], three)
    photo, contents = first.root / "train/a/1.bmp", first.root / "contents.json"
    whole = photo.read_bytes()
    if damage == "removed":
        photo.unlink()
    elif damage == "added":
        shutil.copy(photo, photo.with_name("7.bmp"))
    elif damage == "changed":
        photo.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "cut":
        photo.write_bytes(b"")  # as a power cut may leave it
    elif damage == "renamed":
        photo.rename(first.root / "train/b/1.bmp")
    elif damage == "no list":
        contents.unlink()
    else:
        contents.write_text(contents.read_text()[:9])
    calls = []

    def once() -> Iterator[Picture]:
        calls.append(1)
        return three()

    assert unpacked("set", [source], once) == first
    assert calls == [1]
    assert photo.read_bytes() == whole
    assert names(unpacked("set", [source], again)) == names(first)


@pytest.mark.parametrize("failure", [EdgewiseError("the file is cut off"), KeyboardInterrupt(), ValueError("ours")])
def test_nothing_is_left_when_it_fails(cache: Path, source: Path, failure: BaseException) -> None:
    def broken() -> Iterator[Picture]:
        yield from three()
        raise failure

    with pytest.raises(type(failure)) as caught:
        unpacked("set", [source], broken)
    assert caught.value is failure
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("number", "why"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "Permission denied")])
def test_a_disk_that_takes_no_more(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    def refuse(file: Path, picture: Image.Image) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(unpacking, "_write", refuse)
    with pytest.raises(EdgewiseError) as caught:
        unpacked("set", [source], three)
    assert str(caught.value).startswith(f"The photos of set could not be unpacked to {cache}/set-")
    assert str(caught.value).endswith(
        f": {why}. Name another folder in the environment variable EDGEWISE_CACHE, or free some space."
    )
    assert list(cache.iterdir()) == []


def test_another_process_is_quicker(cache: Path, source: Path) -> None:
    """Its folder may be in use, so it stays."""
    theirs = []

    def slow() -> Iterator[Picture]:
        yield from three()
        theirs.append(unpacked("set", [source], three).root.stat().st_ino)

    found = unpacked("set", [source], slow)
    assert found.root.stat().st_ino == theirs[0]
    assert names(found).keys() == {"train/a", "train/b", "test/a"}
    assert [path.name for path in cache.iterdir()] == [found.root.name]


def test_what_killed_processes_left_is_removed_after_a_day(cache: Path, source: Path) -> None:
    folder = unpacked("set", [source], three).root
    shutil.rmtree(folder)
    old, new = cache / f".{folder.name}.1.part", cache / f".{folder.name}.2.part"
    for part in (old, new):
        (part / "train").mkdir(parents=True)
    os.utime(old, (0, 0))
    unpacked("set", [source], three)
    assert sorted(path.name for path in cache.iterdir()) == [new.name, folder.name]


def test_a_source_that_cannot_be_read(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError) as caught:
        unpacked("set", [tmp_path], three)
    assert str(caught.value) == f"{tmp_path} cannot be read: Is a directory."
