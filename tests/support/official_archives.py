"""Miniature copies of the official data sets: real photos and real lists, as the archives unpack.

Each function fills a folder and returns what must be found in it: the part and the class of every
photo by its place in the folder, in the parts and classes of the set itself.
"""

import gzip
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from matlab_writer import Records, Texts, write_mat


class Truth(NamedTuple):
    """The part and the class of a photo."""

    part: str
    label: str


Photos = dict[str, Truth]


def photo(path: Path, number: int) -> None:
    """A JPEG, another for every number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((40, 32), Image.Resampling.BICUBIC).save(path, quality=90)


def text(path: Path, *lines: str) -> None:
    """A list, its last line ended as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


CAR_NAMES = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012")


def cars(folder: Path) -> Photos:
    """Three cars: five photos to train on, three to test on; the names of files begin again at 1."""
    fields, found = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"), {}
    for part, classes in {"train": (1, 2, 3, 1, 2), "test": (3, 1, 2)}.items():
        rows = []
        for number, label in enumerate(classes, 1):
            name = f"{number:05d}.jpg"
            photo(folder / f"cars_{part}" / name, 100 * len(part) + number)
            rows.append((30, 52, 246, 1470, label, name))
            found[f"cars_{part}/{name}"] = Truth(part, CAR_NAMES[label - 1])
        if part == "train":
            write_mat(
                folder / "devkit/cars_train_annos.mat", {"annotations": Records((*fields, "class", "fname"), rows)}
            )
        else:
            unlabelled = [(*row[:4], row[5]) for row in rows]
            write_mat(folder / "devkit/cars_test_annos.mat", {"annotations": Records((*fields, "fname"), unlabelled)})
            labelled = {"annotations": Records((*fields, "class", "fname"), rows)}
            write_mat(folder / "cars_test_annos_withlabels.mat", labelled)
    write_mat(folder / "devkit/cars_meta.mat", {"class_names": Texts(CAR_NAMES)})
    return found


FLOWER_NAMES = {1: "001 pink primrose", 2: "002 hard-leaved pocket orchid", 10: "010 globe thistle"}


def flowers102(folder: Path) -> Photos:
    """Flowers 1, 2 and 10 (which would sort between as text): one a class to train on, one for val, two to test."""
    labels = [label for label in FLOWER_NAMES for _ in range(4)]
    uses = {"trnid": "train", "valid": "val", "tstid": "test"}
    numbers: dict[str, list[int]] = {"trnid": [5, 1, 9], "valid": [2, 6, 10], "tstid": [3, 4, 7, 8, 11, 12]}
    found = {}
    for variable, part in uses.items():
        for number in numbers[variable]:
            name = f"jpg/image_{number:05d}.jpg"
            photo(folder / name, number)
            found[name] = Truth(part, FLOWER_NAMES[labels[number - 1]])
    write_mat(folder / "imagelabels.mat", {"labels": labels})
    write_mat(folder / "setid.mat", numbers)
    return found


VARIANTS = ("707-320", "Cessna 172", "F/A-18")


def aircraft(folder: Path) -> Photos:
    """Three variants, whose names have blanks and slashes; two photos of each in every part."""
    data, found, every = folder / "fgvc-aircraft-2013b" / "data", {}, []
    for place, part in enumerate(("train", "val", "test")):
        lines = []
        for number in range(6):
            name, variant = f"{34309 + 100 * place + number:07d}", VARIANTS[number % 3]
            photo(data / "images" / f"{name}.jpg", 10 * place + number)
            lines.append(f"{name} {variant}")
            found[f"fgvc-aircraft-2013b/data/images/{name}.jpg"] = Truth(part, variant)
        text(data / f"images_variant_{part}.txt", *lines)
        text(data / f"images_{part}.txt", *(line.split()[0] for line in lines))
        every += lines if part != "test" else []
    text(data / "images_variant_trainval.txt", *every)
    text(data / "variants.txt", *VARIANTS)
    return found


BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "010.Red_winged_Blackbird")


def cub200(folder: Path) -> Photos:
    """Three birds, four photos of each: three to train on, one to test."""
    root, found = folder / "CUB_200_2011", {}
    names = [f"{bird}/{bird[4:]}_{number:04d}_{796100 + number}.jpg" for bird in BIRDS for number in range(4)]
    labels, training = [number // 4 + 1 for number in range(12)], [int(number % 4 != 2) for number in range(12)]
    for number, name in enumerate(names):
        photo(root / "images" / name, number)
        found[f"CUB_200_2011/images/{name}"] = Truth("train" if training[number] else "test", name.split("/")[0])
    text(root / "images.txt", *(f"{number} {name}" for number, name in enumerate(names, 1)))
    text(root / "classes.txt", *(f"{number} {name}" for number, name in enumerate(BIRDS, 1)))
    text(root / "image_class_labels.txt", *(f"{number} {label}" for number, label in enumerate(labels, 1)))
    text(root / "train_test_split.txt", *(f"{number} {part}" for number, part in enumerate(training, 1)))
    return found


PETS = {"Abyssinian": (1, 1, 1), "american_bulldog": (2, 2, 1), "Egyptian_Mau": (6, 1, 5)}


def pets(folder: Path) -> Photos:
    """Three breeds with blanks and small letters; two photos of each to train on, one to test."""
    found = {}
    for part, numbers in {"trainval": (1, 100), "test": (201,)}.items():
        lines = []
        for name, (label, species, breed) in PETS.items():
            for number in numbers:
                photo(folder / f"images/{name}_{number}.jpg", 1000 * label + number)
                lines.append(f"{name}_{number} {label} {species} {breed}")
                found[f"images/{name}_{number}.jpg"] = Truth("test" if part == "test" else "train", name)
        text(folder / f"annotations/{part}.txt", *lines)
    text(folder / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID", "Abyssinian_1 1 1 1")
    return found


DISHES = ("apple_pie", "baby_back_ribs")


def food101(folder: Path) -> Photos:
    """Two dishes, three photos of each to train on, two to test; one that no list names."""
    root, found = folder / "food-101", {}
    for part, numbers in {"train": (1005649, 1014775, 1026328), "test": (1011328, 101251)}.items():
        names = [f"{dish}/{number}" for dish in DISHES for number in numbers]
        for number, name in enumerate(names):
            photo(root / "images" / f"{name}.jpg", number + 10 * len(part))
            found[f"food-101/images/{name}.jpg"] = Truth(part, name.split("/")[0])
        text(root / f"meta/{part}.txt", *names)
    photo(root / "images/apple_pie/7.jpg", 99)
    text(root / "meta/classes.txt", *DISHES)
    text(root / "meta/labels.txt", "Apple pie", "Baby back ribs")
    return found


CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def pictures(number: int, seed: int, grey: bool = False) -> np.ndarray:
    """(number, 32, 32, 3) bytes, or (number, 28, 28) grey ones."""
    shape = (number, 28, 28) if grey else (number, 32, 32, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def cifar_file(path: Path, images: np.ndarray, *labels: Sequence[int]) -> None:
    """Labels, then the planes of red, green and blue, picture by picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as handle:
        for number, image in enumerate(images):
            handle.write(bytes(label[number] for label in labels) + image.transpose(2, 0, 1).tobytes())


def cifar10(folder: Path) -> Photos:
    """Four pictures in each of the six files; classes 0, 3 and 9."""
    root, found, labels = folder / "cifar-10-batches-bin", {}, (3, 0, 9, 3)
    for seed, stem in enumerate((*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")):
        cifar_file(root / f"{stem}.bin", pictures(4, seed), labels)
        part = "test" if stem == "test_batch" else "train"
        for number, label in enumerate(labels):
            name = CIFAR10_NAMES[label]
            found[f"{part}/{name}/{stem}-{number:05d}.bmp"] = Truth(part, name)
    text(root / "batches.meta.txt", *CIFAR10_NAMES, "")
    text(root / "readme.html", "<meta HTTP-EQUIV='REFRESH' content='0'>")
    return found


def cifar100(folder: Path) -> Photos:
    """Two coarse and three fine classes; what counts is the fine one, the second byte."""
    root, found, names = folder / "cifar-100-binary", {}, ("apple", "aquarium_fish", "baby")
    coarse, fine = (1, 0, 0, 1, 1, 0), (0, 1, 2, 0, 1, 2)
    for seed, part in enumerate(("train", "test")):
        cifar_file(root / f"{part}.bin", pictures(6, seed), coarse, fine)
        for number, label in enumerate(fine):
            found[f"{part}/{names[label]}/{part}-{number:05d}.bmp"] = Truth(part, names[label])
    text(root / "coarse_label_names.txt", "aquatic_mammals", "fish")
    text(root / "fine_label_names.txt", *names)
    return found


def idx(path: Path, magic: int, sizes: Sequence[int], content: bytes) -> None:
    """An IDX file, gzipped where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + content
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)


def mnist(folder: Path, suffix: str = ".gz") -> Photos:
    """Seven digits to train on, three to test."""
    found = {}
    for part, start, digits in (("train", "train", (5, 0, 4, 1, 0, 4, 5)), ("test", "t10k", (4, 0, 5))):
        images = pictures(len(digits), len(digits), grey=True)
        idx(folder / f"{start}-images-idx3-ubyte{suffix}", 2051, images.shape, images.tobytes())
        idx(folder / f"{start}-labels-idx1-ubyte{suffix}", 2049, (len(digits),), bytes(digits))
        for number, digit in enumerate(digits):
            found[f"{part}/{digit}/{number:05d}.bmp"] = Truth(part, str(digit))
    return found


ARCHIVES: dict[str, Callable[[Path], Photos]] = {
    "cars": cars,
    "flowers102": flowers102,
    "aircraft": aircraft,
    "cub200": cub200,
    "pets": pets,
    "food101": food101,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "mnist": mnist,
}
