"""Cutting a set into parts, and opening another one to evaluate on."""

import itertools
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.data import ImageSet, Labelled, Sample, open_data, open_labelled

Places = Iterator[Path]


def message(path: Path, **options: Any) -> str:
    with pytest.raises(EdgewiseError) as caught:
        open_data(path, **options)
    return str(caught.value)


def files(samples: tuple[Sample, ...], root: Path) -> set[str]:
    return {sample.path.relative_to(root).as_posix() for sample in samples}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Room for many sets of empty files: what is in a photo plays no part in the cut."""
    return (tmp_path_factory.mktemp(f"set{number}") for number in itertools.count())


def touch(root: Path, sizes: list[int], order: random.Random) -> None:
    names = [root / f"class{label}" / f"{number}.png" for label, size in enumerate(sizes) for number in range(size)]
    order.shuffle(names)
    for name in names:
        name.parent.mkdir(exist_ok=True)
        name.touch()


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    fraction=st.floats(0.001, 0.99),
    seed=st.integers(0, 2**31 - 1),
    order=st.randoms(use_true_random=False),
)
def test_the_cut(places: Places, sizes: list[int], fraction: float, seed: int, order: random.Random) -> None:
    root = next(places)
    touch(root, sizes, order)
    images = open_data(root, fraction, seed)
    train, val = files(images.train, root), files(images.val, root)
    assert not train & val
    assert len(train) + len(val) == len(images.train) + len(images.val) == sum(sizes)
    assert images.test == ()
    assert images.classes == tuple(f"class{label}" for label in range(len(sizes)))
    for label, size in enumerate(sizes):
        held = sum(sample.label == label for sample in images.val)
        assert held < size
        assert (held >= 1) == (size >= 2)
        assert abs(held - fraction * size) <= 1
    for sample in (*images.train, *images.val):
        assert sample.path.parent.name == images.classes[sample.label]
    other = next(places)
    touch(other, sizes, order)  # the same files, made in another order
    again = open_data(other, fraction, seed)
    assert [s.path.relative_to(other) for s in again.val] == [s.path.relative_to(root) for s in images.val]
    assert [s.path.relative_to(other) for s in again.train] == [s.path.relative_to(root) for s in images.train]


def test_the_seed_chooses(tmp_path: Path) -> None:
    touch(tmp_path, [30, 30], random.Random(0))
    cuts = {frozenset(files(open_data(tmp_path, 0.2, seed).val, tmp_path)) for seed in range(20)}
    assert len(cuts) == 20
    times = [sum(f"class0/{n}.png" in cut for cut in cuts) for n in range(30)]
    assert max(times) < 12


def test_later_photos_leave_the_others_where_they_are(tmp_path: Path) -> None:
    touch(tmp_path, [40, 40], random.Random(0))
    before = open_data(tmp_path, 0.25, 3)
    touch(tmp_path, [44, 40, 10], random.Random(1))
    after = open_data(tmp_path, 0.25, 3)
    moved = files(before.val, tmp_path) ^ files(after.val, tmp_path)
    assert {name for name in moved if name.startswith("class1")} == set()
    assert len({name for name in moved if name.startswith("class0")}) <= 5


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_cut_does_not_depend_on_how_a_system_spells(tmp_path: Path, form: Any) -> None:
    for number in range(20):
        for label in ("é", "a"):
            name = tmp_path / unicodedata.normalize(form, f"{label}/ö{number}.png")
            name.parent.mkdir(exist_ok=True)
            name.touch()
    held = files(open_data(tmp_path, 0.2, 0).val, tmp_path)
    assert {unicodedata.normalize("NFC", name) for name in held} == {
        *("a/ö1.png", "a/ö10.png", "a/ö12.png", "a/ö5.png"),
        *("é/ö11.png", "é/ö13.png", "é/ö5.png", "é/ö7.png"),
    }


def test_a_fraction_of_zero_leaves_val_empty(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"ant": 3, "bee": 2})
    images = open_data(tmp_path, 0)
    assert images.val == ()
    assert images.counts() == {
        "train": {"ant": 3, "bee": 2},
        "val": {"ant": 0, "bee": 0},
        "test": {"ant": 0, "bee": 0},
    }


def test_a_val_of_ones_own_is_used(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"train/ant": 9, "train/bee": 3, "valid/ant": 2, "test/bee": 1})
    images = open_data(tmp_path)
    assert images.counts() == {
        "train": {"ant": 9, "bee": 3},
        "val": {"ant": 2, "bee": 0},
        "test": {"ant": 0, "bee": 1},
    }
    assert images.imbalance() == 3
    assert images.root == tmp_path
    assert images.test == (Sample(tmp_path / "test" / "bee" / "000.png", 1),)


def test_val_is_never_cut_from_test(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"train/ant": 10, "train/bee": 10, "test/ant": 10, "test/bee": 10})
    images = open_data(tmp_path, 0.3)
    assert images.counts()["test"] == {"ant": 10, "bee": 10}
    assert all(sample.path.parent.parent.name == "train" for sample in images.val)
    assert len(images.val) == 6


def test_a_table(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"a": 4})
    (tmp_path / "set.csv").write_text("a/000.png,x,train\na/001.png,y,train\na/002.png,x,val\na/003.png,y,test\n")
    images = open_data(tmp_path / "set.csv")
    assert images.root == tmp_path
    assert images.classes == ("x", "y")
    assert [len(part) for part in images.parts().values()] == [2, 1, 1]


def test_skipped_is_handed_on(tmp_path: Path, fill: Any, paint: Any) -> None:
    fill(tmp_path, {"ant": 2, "bee": 2})
    paint(tmp_path / "stray.png")
    assert open_data(tmp_path).skipped == ((Path("stray.png"), "it lies outside the class folders"),)


def test_names_are_relative_where_they_can_be(tmp_path: Path) -> None:
    images = ImageSet(tmp_path / "a", ("x",), (), (), ())
    assert images.name_of(tmp_path / "a" / "b" / "c.jpg") == "b/c.jpg"
    assert images.name_of(tmp_path / "c.jpg") == (tmp_path / "c.jpg").as_posix()


def test_imbalance_of_a_class_without_photos(tmp_path: Path) -> None:
    assert ImageSet(tmp_path, ("x", "y"), (Sample(tmp_path, 0),), (), ()).imbalance() == float("inf")


# What goes wrong


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_fraction_out_of_range(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(UsageError) as caught:
        open_data(tmp_path, fraction)
    assert str(caught.value) == f"--val-fraction is {fraction:g}; it must be at least 0 and below 1."


def test_a_slip_of_the_pen(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    path = tmp_path / "fotos"
    assert message(path) == f"There is no folder or CSV file at {path}. Did you mean {tmp_path / 'photos'}?"


def test_what_is_nearby(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"thing{number}").mkdir()
    (tmp_path / ".hidden").mkdir()
    path = tmp_path / "zzz" / "photos"
    assert message(path) == (
        f"There is no folder or CSV file at {path}. In {tmp_path} there is "
        "thing0, thing1, thing2, thing3, thing4, thing5 and 2 more."
    )


def test_nothing_is_nearby(tmp_path: Path) -> None:
    path = tmp_path / "photos"
    assert message(path) == f"There is no folder or CSV file at {path}. The folder {tmp_path} is empty."


@pytest.mark.parametrize(("name", "hint"), [("photos.zip", " Unpack it first."), ("photo.jpg", "")])
def test_a_file_that_is_no_set(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).touch()
    assert message(tmp_path / name) == f"{tmp_path / name} is neither a folder of photos nor a CSV file.{hint}"


def test_one_class(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"ant": 3})
    assert message(tmp_path) == (
        f"There is only one class in {tmp_path}: ant. Telling things apart takes at least two."
    )


@pytest.mark.parametrize("inner", [("ant", "bee"), ("train/ant", "train/bee", "test/ant")])
def test_a_set_wrapped_in_a_folder(tmp_path: Path, fill: Any, inner: tuple[str, ...]) -> None:
    fill(tmp_path, {f"flowers/{name}": 1 for name in inner})
    assert message(tmp_path) == (
        f"There is only one class in {tmp_path}: flowers. Telling things apart takes at least two. "
        f"Did you mean {tmp_path / 'flowers'}?"
    )


def test_one_class_in_a_table(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"a": 2})
    (tmp_path / "set.csv").write_text("a/000.png,x\na/001.png,x\n")
    assert message(tmp_path / "set.csv").endswith("set.csv: x. Telling things apart takes at least two.")


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_is_never_trained(tmp_path: Path, fill: Any, part: str) -> None:
    fill(tmp_path, {"train/ant": 1, "train/bee": 1, f"{part}/ant": 1, f"{part}/cow": 1, f"{part}/dog": 1})
    assert message(tmp_path) == (
        f"2 classes in {part} but not in train: cow, dog. Train has ant, bee. "
        f"Add training photos, or take the class out of {part}."
    )


def test_nothing_to_train_on(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"test/ant": 1, "val/bee": 1})
    assert message(tmp_path).startswith(f"There is no training part in {tmp_path}, only val and test.\nExpected is")


# Photos to evaluate on

CLASSES = ("bee", "ant")  # a run's order need not be alphabetical


@pytest.mark.parametrize(
    ("folders", "split", "labels"),
    [
        ({"ant": 2, "bee": 1}, "all", [1, 1, 0]),
        ({"train/ant": 1, "train/bee": 3, "val/bee": 2, "test/ant": 1}, "test", [1]),
        ({"train/ant": 1, "train/bee": 3, "val/bee": 2}, "val", [0, 0]),
        ({"train/ant": 1, "train/bee": 1}, "all", [1, 0]),
        ({"test/bee": 2}, "test", [0, 0]),
        ({"bee": 1}, "all", [0]),
    ],
)
def test_open_labelled(tmp_path: Path, fill: Any, folders: dict[str, int], split: str, labels: list[int]) -> None:
    fill(tmp_path, folders)
    found = open_labelled(tmp_path, CLASSES)
    assert isinstance(found, Labelled)
    assert found.split == split
    assert [sample.label for sample in found.samples] == labels
    assert all(sample.path.parent.name == CLASSES[sample.label] for sample in found.samples)


def test_open_labelled_matches_names_after_normalisation(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"cafe\u0301": 1, "the": 1})
    samples, _ = open_labelled(tmp_path, ("the", "caf\u00e9"))
    assert [sample.label for sample in samples] == [1, 0]


def test_classes_the_run_does_not_know(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"ant": 1, "wasp": 1, "Bee": 1})
    with pytest.raises(EdgewiseError) as caught:
        open_labelled(tmp_path, CLASSES)
    assert str(caught.value) == (
        f"The run does not know 2 classes in {tmp_path}: Bee, wasp. Not there: bee. "
        "The names must be those the run was trained with."
    )


def test_open_labelled_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match="There is no folder or CSV file at"):
        open_labelled(tmp_path / "x", CLASSES)
