"""The papers' data sets, from miniature archives in the official layout."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.data import ImageSet, open_data, open_labelled
from edgewise.data.found import Found, Split
from edgewise.data.images import open_image
from edgewise.data.official import OFFICIAL
from edgewise.data.verify import verify
from official_archives import ARCHIVES, CIFAR10_NAMES, Truth, mnist, pictures

OWN_VAL = {"flowers102", "aircraft"}
UNPACKED = {"cifar10", "cifar100", "mnist"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures are unpacked here, not in the user's folder."""
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=sorted(ARCHIVES))
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, dict[str, Truth]]:
    """A set's name, the folder of a miniature copy, and what is in it."""
    folder = tmp_path / "data"
    return request.param, folder, ARCHIVES[request.param](folder)


def found_in(images: ImageSet, folder: Path, name: str) -> dict[str, Truth]:
    """Every photo by its place in the folder that was filled (for an unpacked set, in the cache)."""
    root = images.root if name in UNPACKED else folder
    return {
        sample.path.relative_to(root).as_posix(): Truth(part, images.classes[sample.label])
        for part, samples in images.parts().items()
        for sample in samples
    }


def test_every_set_has_a_miniature() -> None:
    assert sorted(OFFICIAL) == sorted(ARCHIVES)
    assert len(OFFICIAL) == 9
    assert all(name == one.name for name, one in OFFICIAL.items())


def test_parts_and_classes_are_the_official_ones(archive: tuple[str, Path, dict[str, Truth]]) -> None:
    name, folder, truth = archive
    images = open_data(Path(f"{name}:{folder}"), val_fraction=0)
    assert found_in(images, folder, name) == truth
    assert images.skipped == ()
    assert images.classes == tuple(sorted({label for _, label in truth.values()}))
    assert bool(images.val) == (name in OWN_VAL)


def test_no_test_photo_is_trained_on_or_chosen_with(archive: tuple[str, Path, dict[str, Truth]]) -> None:
    name, folder, truth = archive
    found = found_in(open_data(Path(f"{name}:{folder}"), val_fraction=0.4), folder, name)
    assert found.keys() == truth.keys()
    for place, (part, label) in truth.items():
        assert found[place].label == label
        if part == "train" and name not in OWN_VAL:
            assert found[place].part in ("train", "val")
        else:
            assert found[place].part == part
    assert "val" in {part for part, _ in found.values()}


def test_every_photo_is_read(archive: tuple[str, Path, dict[str, Truth]]) -> None:
    name, folder, _ = archive
    images = open_data(Path(f"{name}:{folder}"))
    assert verify(images, max_bad=0, workers=0) == images


def test_eval_sees_the_test_part(archive: tuple[str, Path, dict[str, Truth]]) -> None:
    name, folder, truth = archive
    classes = open_data(Path(f"{name}:{folder}")).classes
    samples, split = open_labelled(Path(f"{name}:{folder}"), classes)
    assert split == "test"
    assert len(samples) == sum(part == "test" for part, _ in truth.values())


def test_the_folder_may_be_the_set_itself_or_hold_it(
    archive: tuple[str, Path, dict[str, Truth]], tmp_path: Path
) -> None:
    name, folder, truth = archive
    inner = folder / OFFICIAL[name].folders[0]
    if not inner.is_dir():  # its archives unpack without a folder of their own; torchvision makes one
        outer = tmp_path / "outer"
        (outer / inner.name).parent.mkdir()
        folder.rename(outer / inner.name)
        folder, inner = outer, outer / inner.name
    held, itself = (open_data(Path(f"{name}:{path}")) for path in (folder, inner))
    assert held == itself  # the same photos in the same parts, cut for val alike
    assert len(held.train) + len(held.val) + len(held.test) == len(truth)


def test_a_copy_that_differs_is_said_to(archive: tuple[str, Path, dict[str, Truth]]) -> None:
    name, folder, truth = archive
    (note,) = open_data(Path(f"{name}:{folder}")).notes
    train = sum(part == "train" for part, _ in truth.values())
    assert note.startswith(f"This copy of {OFFICIAL[name].title} has {train} train photos instead of ")
    assert note.endswith("; results do not compare with published ones.")
    assert ("val photos" in note) == (name in OWN_VAL)


@pytest.mark.parametrize(
    ("name", "train", "val", "test", "classes"),
    [
        ("cars", 8144, 0, 8041, 196),
        ("flowers102", 1020, 1020, 6149, 102),
        ("aircraft", 3334, 3333, 3333, 100),
        ("cub200", 5994, 0, 5794, 200),
        ("pets", 3680, 0, 3669, 37),
        ("food101", 75_750, 0, 25_250, 101),
        ("cifar10", 50_000, 0, 10_000, 10),
        ("cifar100", 50_000, 0, 10_000, 100),
        ("mnist", 60_000, 0, 10_000, 10),
    ],
)
def test_published_numbers(name: str, train: int, val: int, test: int, classes: int) -> None:
    def copy(classes: int, **sizes: int) -> Found:
        splits = {
            split: {f"{k:03d}": (Path("x"),) * len(range(k, sizes[split], classes)) for k in range(classes)}
            for split in get_args(Split)
            if sizes[split]
        }
        return Found(Path(), splits)

    chosen = OFFICIAL[name]
    assert chosen.differences(copy(classes, train=train, val=val, test=test)) == ()
    assert chosen.differences(copy(classes, train=train, val=val, test=test - 1)) == (
        f"This copy of {chosen.title} has {test - 1:,} test photos instead of {test:,}; "
        "results do not compare with published ones.",
    )
    (note,) = chosen.differences(copy(classes - 1, train=train, val=val, test=test))
    assert f"{classes - 1} classes instead of {classes};" in note


def test_numbers_of_classes_sort_as_numbers(tmp_path: Path) -> None:
    ARCHIVES["flowers102"](tmp_path)
    assert open_data(Path(f"flowers102:{tmp_path}")).classes == (
        "001 pink primrose",
        "002 hard-leaved pocket orchid",
        "010 globe thistle",
    )


def test_the_small_part_of_the_flowers_trains(tmp_path: Path) -> None:
    ARCHIVES["flowers102"](tmp_path)
    images = open_data(Path(f"flowers102:{tmp_path}"), val_fraction=0.9)
    assert [len(part) for part in images.parts().values()] == [3, 3, 6]


def test_cifar_is_unpacked_without_loss(tmp_path: Path) -> None:
    ARCHIVES["cifar10"](tmp_path)
    images = open_data(Path(f"cifar10:{tmp_path}"), val_fraction=0)
    assert images.classes == ("airplane", "cat", "truck")
    seen = 0
    for sample in (*images.train, *images.test):
        stem, _, number = sample.path.stem.rpartition("-")
        seed = 5 if stem == "test_batch" else int(stem[-1]) - 1
        assert np.array_equal(np.asarray(open_image(sample.path)), pictures(4, seed)[int(number)])
        assert images.classes[sample.label] == CIFAR10_NAMES[(3, 0, 9, 3)[int(number)]]
        seen += 1
    assert seen == 24


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_is_unpacked_without_loss(tmp_path: Path, suffix: str) -> None:
    mnist(tmp_path, suffix)
    images = open_data(Path(f"mnist:{tmp_path}"), val_fraction=0)
    digits = pictures(7, 7, grey=True)
    assert len(images.train) == 7
    for sample in images.train:
        shown = np.asarray(open_image(sample.path))
        assert np.array_equal(shown, np.repeat(digits[int(sample.path.stem)][..., None], 3, axis=2))


def test_mnist_as_mirrors_name_it(tmp_path: Path) -> None:
    mnist(tmp_path, "")
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert len(open_data(Path(f"mnist:{tmp_path}")).test) == 3


def test_home_is_found_where_the_shell_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ARCHIVES["pets"](tmp_path / "data" / "pets")
    assert len(open_data(Path("pets:~/data/pets")).test) == 3


def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("a", "b"):
        (tmp_path / "mine: new" / label).mkdir(parents=True)
        (tmp_path / "mine: new" / label / "1.png").touch()
    assert open_data(Path("mine: new")).classes == ("a", "b")
    assert open_data(tmp_path / "mine: new").classes == ("a", "b")


# What goes wrong


def message(data: str) -> str:
    with pytest.raises(EdgewiseError) as caught:
        open_data(Path(data))
    return str(caught.value)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        open_data(Path("cifar-10:/data"))
    assert str(caught.value) == (
        "There is no data set 'cifar-10'. Did you mean 'cifar10'? Known: "
        "aircraft, cars, cifar10, cifar100, cub200, flowers102, food101, mnist, pets."
    )


def test_a_name_without_a_folder() -> None:
    assert message("cars:") == "Say where Stanford Cars lies: cars:FOLDER."
    assert message("cars") == "There is no folder or CSV file at cars. For the official set write cars:FOLDER."


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    assert message(f"flowers102:{tmp_path}/flower") == (
        f"There is no folder at {tmp_path}/flower with Oxford Flowers-102. Did you mean {tmp_path}/flowers?"
    )
    (tmp_path / "102flowers.tgz").touch()
    assert message(f"flowers102:{tmp_path}/102flowers.tgz") == (
        f"{tmp_path}/102flowers.tgz is a file, not the folder with Oxford Flowers-102."
    )


def test_every_missing_piece_is_named(tmp_path: Path) -> None:
    ARCHIVES["cars"](tmp_path)
    (tmp_path / "cars_test_annos_withlabels.mat").unlink()
    (tmp_path / "cars_train").rename(tmp_path / "elsewhere")
    (tmp_path / "cars_train.tgz").touch()
    (tmp_path / "stanford_cars").mkdir()
    assert message(f"cars:{tmp_path}") == (
        f"Stanford Cars is not complete in {tmp_path} and {tmp_path}/stanford_cars. Missing:\n"
        f"    cars_train: unpack {tmp_path}/cars_train.tgz\n"
        "    cars_test_annos_withlabels.mat: download it\n"
        "cars_test_annos.mat will not do for cars_test_annos_withlabels.mat: it holds no labels."
    )


def test_labels_of_the_cars_may_lie_with_the_others(tmp_path: Path) -> None:
    truth = ARCHIVES["cars"](tmp_path)
    (tmp_path / "cars_test_annos_withlabels.mat").rename(tmp_path / "devkit/cars_test_annos_withlabels.mat")
    assert found_in(open_data(Path(f"cars:{tmp_path}"), 0), tmp_path, "cars") == truth


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_an_empty_folder_says_what_to_download(name: str, tmp_path: Path) -> None:
    said = message(f"{name}:{tmp_path}")
    assert said.startswith(f"{OFFICIAL[name].title} is not complete in {tmp_path}. Missing:\n    ")
    for piece in OFFICIAL[name].pieces:
        assert piece.path in said
        assert f"download {piece.download}" in said or f"{piece.path}: download it" in said


@pytest.mark.parametrize(
    ("name", "there", "download"),
    [
        ("cifar10", "cifar-10-batches-py/data_batch_1", "cifar-10-binary.tar.gz"),
        ("cifar10", "data_batch_1", "cifar-10-binary.tar.gz"),
        ("cifar10", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-python/train", "cifar-100-binary.tar.gz"),
        ("cifar100", "meta", "cifar-100-binary.tar.gz"),
    ],
)
def test_the_python_version_of_cifar_is_never_opened(tmp_path: Path, name: str, there: str, download: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    # a pickle that would write a file when it is opened
    (tmp_path / there).write_bytes(f"cos\nsystem\n(S'touch {tmp_path}/opened'\ntR.".encode())
    said = message(f"{name}:{tmp_path}")
    assert said.splitlines()[-1] == (
        f"What is there is the Python version of {OFFICIAL[name].title}. It is a pickle: opening one runs whatever "
        f"code is in it, so it is never opened here. Download the binary version, {download}; its pictures are "
        "the same."
    )
    assert not (tmp_path / "opened").exists()
