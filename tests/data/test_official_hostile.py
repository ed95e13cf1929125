"""Copies of the official sets that are cut off, damaged, or lie about themselves."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.data import open_data
from edgewise.data.official import mnist as mnist_set
from matlab_writer import Records, write_mat
from official_archives import ARCHIVES, cifar_file, idx, photo, pictures, text

Change = Callable[[Path], object]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures are unpacked here, not in the user's folder."""
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def message(name: str, folder: Path, change: Change) -> str:
    """What is said of a miniature copy after ``change``, its folder written as ROOT."""
    ARCHIVES[name](folder)
    change(folder)
    with pytest.raises(EdgewiseError) as caught:
        open_data(Path(f"{name}:{folder}"))
    return str(caught.value).replace(str(folder), "ROOT")


def lines(path: str, *wanted: str) -> Change:
    return lambda folder: text(folder / path, *wanted)


def content(path: str, wanted: bytes) -> Change:
    return lambda folder: (folder / path).write_bytes(wanted)


def cut(path: str, size: int) -> Change:
    """The last ``size`` bytes are gone; below 0 so many are too many."""

    def change(folder: Path) -> None:
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(whole[:-size] if size > 0 else whole + bytes(-size))

    return change


FOOD, BIRDS = "food-101", "CUB_200_2011"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "food101",
            lines(f"{FOOD}/meta/test.txt", "apple_pie/1011328", "../../../../etc/passwd"),
            "Classes that ROOT/food-101/meta/classes.txt does not name: .. (line 2 of test.txt). "
            "Unpack food-101.tar.gz again.",
        ),
        (
            "food101",
            lambda folder: [
                text(folder / f"{FOOD}/meta/test.txt", "apple_pie/1011328", "../../../../etc/passwd"),
                text(folder / f"{FOOD}/meta/classes.txt", "apple_pie", "baby_back_ribs", ".."),
            ],
            "Photos that the lists in ROOT/food-101 place outside of its folder: "
            "'images/../../../../etc/passwd.jpg' (line 2 of test.txt). Do not trust this copy.",
        ),
        (
            "cub200",
            lines(f"{BIRDS}/images.txt", "1 ../../../secret.jpg", "2 /etc/passwd", "3 ok/a.jpg"),
            "Photos that the lists in ROOT/CUB_200_2011 place outside of its folder: 'images/../../../secret.jpg' "
            "(line 1 of images.txt), 'images//etc/passwd' (line 2 of images.txt). Do not trust this copy.",
        ),
        (
            "aircraft",
            lines("fgvc-aircraft-2013b/data/images_variant_val.txt", "..\\..\\boot Cessna 172", "C:x F/A-18"),
            "Photos that the lists in ROOT/fgvc-aircraft-2013b place outside of its folder: "
            "'data/images/..\\\\..\\\\boot.jpg' (line 1 of images_variant_val.txt), 'data/images/C:x.jpg' "
            "(line 2 of images_variant_val.txt). Do not trust this copy.",
        ),
        (
            "pets",
            lines("annotations/test.txt", "Abyssinian_1 1 1 1", "Egyptian_Mau_201 6 1 5"),
            "Photos that the lists in ROOT name more than once: images/Abyssinian_1.jpg (line 1 of test.txt and line 1 "
            "of trainval.txt). A test photo must not be trained on.",
        ),
        (
            "food101",
            lines(f"{FOOD}/meta/train.txt", *(f"apple_pie/{number}" for number in range(1, 8))),
            "Of the 11 photos that the lists in ROOT/food-101 name, 6 are not there: images/apple_pie/1.jpg (line 1 of "
            "train.txt), images/apple_pie/2.jpg (line 2 of train.txt), images/apple_pie/3.jpg (line 3 of train.txt), "
            "images/apple_pie/4.jpg (line 4 of train.txt), images/apple_pie/5.jpg (line 5 of train.txt) and 1 more. "
            "Unpack food-101.tar.gz again; to use a part of the set, take the others out of the lists.",
        ),
        (
            "food101",
            lines(f"{FOOD}/meta/train.txt", "pizza/1"),
            "Classes that ROOT/food-101/meta/classes.txt does not name: pizza (line 1 of train.txt). "
            "Unpack food-101.tar.gz again.",
        ),
        (
            "aircraft",
            lines("fgvc-aircraft-2013b/data/images_variant_test.txt", "0034509", "0034509 Cessna 999"),
            "Lines of ROOT/fgvc-aircraft-2013b/data/images_variant_test.txt that are not understood: line 1: "
            "'0034509'. Expected is the number of a photo and its variant. Download it again.",
        ),
        (
            "aircraft",
            lines("fgvc-aircraft-2013b/data/images_variant_test.txt", "0034509 Cessna 999"),
            "Variants that ROOT/fgvc-aircraft-2013b/data/variants.txt does not name: Cessna 999 (line 1 of "
            "images_variant_test.txt). Unpack the archive again.",
        ),
        (
            "pets",
            lines("annotations/test.txt", "Abyssinian_201 5 1 1"),
            "Classes with two numbers: Abyssinian is 1 and 5 (line 1 of test.txt). Unpack annotations.tar.gz again.",
        ),
        (
            "cub200",
            lines(f"{BIRDS}/image_class_labels.txt", *(f"{number} 77" for number in range(1, 13))),
            "Photo 1 (line 1 of ROOT/CUB_200_2011/images.txt) has no entry in classes.txt. "
            "Unpack CUB_200_2011.tgz again.",
        ),
        (
            "cub200",
            lines(f"{BIRDS}/train_test_split.txt", "1 1", "2 0", "1 0"),
            "Line 3 of ROOT/CUB_200_2011/train_test_split.txt says 0 of number 1, an earlier one 1. "
            "Unpack CUB_200_2011.tgz again.",
        ),
        (
            "cub200",
            lines(f"{BIRDS}/train_test_split.txt", "1 1", "2 yes"),
            "Lines of ROOT/CUB_200_2011/train_test_split.txt that are not understood: line 2: '2 yes'. "
            "Expected is a photo's number, and 1 for training or 0 for test. Download it again.",
        ),
        (
            "cub200",
            content(f"{BIRDS}/images.txt", b"1 \xff.jpg\n"),
            "ROOT/CUB_200_2011/images.txt is not UTF-8 text (invalid start byte). Download it again.",
        ),
        (
            "pets",
            lambda folder: [(folder / f"annotations/{part}.txt").write_text("\n") for part in ("trainval", "test")],
            "The lists in ROOT name no photo.",
        ),
        (
            "flowers102",
            lambda folder: write_mat(folder / "setid.mat", {"trnid": [1, 13], "valid": [2], "tstid": [3]}),
            "Number 2 of trnid in ROOT/setid.mat is photo 13, and imagelabels.mat has labels of the photos 1 to 12. "
            "Download both again.",
        ),
        (
            "flowers102",
            lambda folder: write_mat(folder / "setid.mat", {"trnid": [0], "valid": [2], "tstid": [3]}),
            "Number 1 of trnid in ROOT/setid.mat is photo 0, and imagelabels.mat has labels of the photos 1 to 12. "
            "Download both again.",
        ),
        (
            "flowers102",
            lambda folder: write_mat(folder / "setid.mat", {"trnid": [1], "valid": [2], "tstid": [1]}),
            "Photos that the lists in ROOT name more than once: jpg/image_00001.jpg (number 1 of tstid of setid.mat "
            "and number 1 of trnid of setid.mat). A test photo must not be trained on.",
        ),
        (
            "flowers102",
            lambda folder: write_mat(folder / "imagelabels.mat", {"labels": [1, 103]}),
            "ROOT/imagelabels.mat has the class 103; the classes are 1 to 102. Download it again.",
        ),
        (
            "flowers102",
            lambda folder: (folder / "setid.mat").write_bytes((folder / "imagelabels.mat").read_bytes()),
            "ROOT/setid.mat has no variable 'trnid', only labels. Is it another file under this name?",
        ),
        (
            "cars",
            lambda folder: (folder / "cars_test_annos_withlabels.mat").write_bytes(
                (folder / "devkit/cars_test_annos.mat").read_bytes()
            ),
            "The variable 'annotations' of ROOT/cars_test_annos_withlabels.mat is not structures with a whole number "
            "'class' and a text 'fname' each. Is it another file under this name?",
        ),
        (
            "cars",
            lambda folder: write_mat(
                folder / "devkit/cars_train_annos.mat",
                {"annotations": Records(("class", "fname"), [(1, "00001.jpg"), (4, "00002.jpg")])},
            ),
            "Entry 2 of ROOT/devkit/cars_train_annos.mat has the class 4; devkit/cars_meta.mat names the classes 1 to "
            "3. Download both again.",
        ),
        (
            "cars",
            lambda folder: write_mat(
                folder / "devkit/cars_train_annos.mat",
                {"annotations": Records(("class", "fname"), [(1, "../../x.jpg")])},
            ),
            "Photos that the lists in ROOT place outside of its folder: 'cars_train/../../x.jpg' (entry 1 of "
            "cars_train_annos.mat). Do not trust this copy.",
        ),
        (
            "cars",
            cut("devkit/cars_meta.mat", 9),
            "ROOT/devkit/cars_meta.mat cannot be read: it is cut off. Download it again.",
        ),
        (
            "cifar10",
            cut("cifar-10-batches-bin/data_batch_3.bin", 1),
            "ROOT/cifar-10-batches-bin/data_batch_3.bin has 12,291 bytes, which is not a number of pictures of 3,073 "
            "bytes: it is cut off, or of another kind. Download it again.",
        ),
        (
            "cifar100",
            content("cifar-100-binary/test.bin", b""),
            "ROOT/cifar-100-binary/test.bin has 0 bytes, which is not a number of pictures of 3,074 bytes: it is cut "
            "off, or of another kind. Download it again.",
        ),
        (
            "cifar10",
            lambda folder: cifar_file(folder / "cifar-10-batches-bin/test_batch.bin", pictures(2, 0), (9, 10)),
            "Picture 2 of ROOT/cifar-10-batches-bin/test_batch.bin has the class 10; the classes are 0 to 9. "
            "Download it again.",
        ),
        (
            "cifar100",
            lines("cifar-100-binary/fine_label_names.txt", "apple", "../../../evil", "baby"),
            "ROOT/cifar-100-binary/fine_label_names.txt has the class '../../../evil', which is no name. "
            "Download it again.",
        ),
        (
            "cifar100",
            lines("cifar-100-binary/fine_label_names.txt", "apple", "baby", "apple"),
            "ROOT/cifar-100-binary/fine_label_names.txt names a class twice. Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "t10k-labels-idx1-ubyte.gz", 2051, (3,), bytes(3)),
            "ROOT/t10k-labels-idx1-ubyte.gz begins with 2051, and 2049 is expected there. Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "t10k-labels-idx1-ubyte.gz", 2049, (3,), bytes((1, 2, 10))),
            "ROOT/t10k-labels-idx1-ubyte.gz has the label 10; the labels are 0 to 9. Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "t10k-labels-idx1-ubyte.gz", 2049, (2,), bytes(2)),
            "ROOT/t10k-images-idx3-ubyte.gz has 3 pictures, and ROOT/t10k-labels-idx1-ubyte.gz 2 labels. "
            "Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "t10k-labels-idx1-ubyte.gz", 2049, (3,), bytes(4)),
            "ROOT/t10k-labels-idx1-ubyte.gz is longer than its header says. Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "t10k-images-idx3-ubyte.gz", 2051, (3, 28, 28), bytes(3 * 28 * 28 - 1)),
            "ROOT/t10k-images-idx3-ubyte.gz is cut off. Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "t10k-images-idx3-ubyte.gz", 2051, (3, 0, 28), b""),
            "ROOT/t10k-images-idx3-ubyte.gz has pictures of 28 x 0 pixels; 28 x 28 are expected. Download it again.",
        ),
        (
            "mnist",
            lambda folder: idx(folder / "train-labels-idx1-ubyte.gz", 2049, (2**32 - 1,), bytes(7)),
            "ROOT/train-labels-idx1-ubyte.gz says that it holds 4,294,967,295 of them. Download it again.",
        ),
        (
            "mnist",
            content("train-labels-idx1-ubyte.gz", b""),
            "ROOT/train-labels-idx1-ubyte.gz is cut off. Download it again.",
        ),
        (
            "mnist",
            content("train-labels-idx1-ubyte.gz", b"<html>404</html>"),
            "ROOT/train-labels-idx1-ubyte.gz is cut off or damaged (Not a gzipped file (b'<h')). Download it again.",
        ),
        (
            "mnist",
            cut("train-images-idx3-ubyte.gz", 20),
            "ROOT/train-images-idx3-ubyte.gz is cut off or damaged (Compressed file ended before the end-of-stream "
            "marker was reached). Download it again.",
        ),
    ],
)
def test_what_is_said(tmp_path: Path, name: str, change: Change, said: str) -> None:
    assert message(name, tmp_path / "data", change) == said


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_nothing_is_left_of_a_set_that_cannot_be_unpacked(tmp_path: Path, cache: Path, name: str) -> None:
    damage = {
        "cifar10": lambda folder: cifar_file(folder / "cifar-10-batches-bin/test_batch.bin", pictures(1, 0), (99,)),
        "mnist": cut("train-images-idx3-ubyte.gz", 20),
    }
    message(name, tmp_path / "data", damage[name])
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert list((cache / "data").iterdir()) == []


def test_a_photo_outside_is_not_read_even_where_it_exists(tmp_path: Path) -> None:
    photo(tmp_path / "secret.jpg", 1)

    def change(folder: Path) -> None:
        text(folder / f"{BIRDS}/images.txt", "1 ../../../secret.jpg")

    assert (tmp_path / "data" / BIRDS / "images/../../../secret.jpg").resolve() == tmp_path / "secret.jpg"
    assert "outside of its folder" in message("cub200", tmp_path / "data", change)


def test_a_list_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        with open(folder / "annotations/test.txt", "wb") as handle:
            handle.truncate((64 << 20) + 1)  # a sparse file

    said = message("pets", tmp_path / "data", change)
    assert said == "ROOT/annotations/test.txt has 67,108,865 bytes; no list of photos is that long. Download it again."


def test_a_header_does_not_decide_how_much_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of gigabytes that a small file claims to hold are read one at a time, and are not there."""
    monkeypatch.setattr(mnist_set, "MOST_PIXELS", 1 << 60)
    ARCHIVES["mnist"](tmp_path)
    number = 1_000_000
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(struct.pack(">4I", 2051, number, 512, 512)))
    labels = np.zeros(number, np.uint8).tobytes()
    idx(tmp_path / "train-labels-idx1-ubyte.gz", 2049, (number,), labels)
    tracemalloc.start()
    try:
        with pytest.raises(EdgewiseError, match="train-images-idx3-ubyte.gz is cut off"):
            open_data(Path(f"mnist:{tmp_path}"))
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1_000_000, 512, 512), (1, 2**31, 2**31), (1_000_001, 1, 1)])
def test_a_copy_that_would_fill_the_disk_is_refused(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    ARCHIVES["mnist"](tmp_path)
    idx(tmp_path / "t10k-images-idx3-ubyte.gz", 2051, shape, bytes(1000))
    with pytest.raises(EdgewiseError, match=rf"says that it holds {shape[0]:,} of them"):
        open_data(Path(f"mnist:{tmp_path}"))
