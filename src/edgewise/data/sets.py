"""A labelled set of photos, cut into train, val and test.

``val`` chooses (the best epoch, a setting); ``test`` is only ever reported.  Where there is no
``val``, it is cut out of ``train``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.data.folder import layout, read_folder
from edgewise.data.found import Found, Split, counted, listed, name_of, normal
from edgewise.data.official import meant, official
from edgewise.data.table import read_table


@dataclass(frozen=True)
class Sample:
    """A photo and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class ImageSet:
    """Photos by their use; labels index ``classes``, which are sorted.  ``skipped``: (path, reason).

    ``notes`` are what the user should know about the set: how a copy differs from the official set.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[Split, tuple[Sample, ...]]:
        """The samples by the name of their part."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def counts(self) -> dict[str, dict[str, int]]:
        """Part to class to number of photos, zeros included."""
        table: dict[str, dict[str, int]] = {part: dict.fromkeys(self.classes, 0) for part in self.parts()}
        for part, samples in self.parts().items():
            for sample in samples:
                table[part][self.classes[sample.label]] += 1
        return table

    def imbalance(self) -> float:
        """Photos of the largest class in train over those of the smallest; infinite where one has none."""
        numbers = self.counts()["train"].values()
        return max(numbers) / min(numbers) if min(numbers) else float("inf")

    def name_of(self, path: Path) -> str:
        """``path`` relative to the set, with forward slashes; as it is where it lies elsewhere."""
        return name_of(path, self.root)


class Labelled(NamedTuple):
    """Photos to evaluate on, and which of the set's parts they are."""

    samples: tuple[Sample, ...]
    split: Literal["test", "val", "all"]


def open_data(path: Path, val_fraction: float = 0.15, seed: int = 0) -> ImageSet:
    """Open a folder of class folders, a CSV of ``path,label`` or ``NAME:FOLDER``, an official set, for training.

    Where there is no val part, ``val_fraction`` of each class's training photos becomes one: at
    least one photo where the class has two, never all.  Which ones depends on ``seed`` and their
    names alone, so photos added later leave the others where they are.  0 leaves val empty.

    Raises `EdgewiseError` when nothing is there, there are fewer than two classes, or val or test
    has a class that train has not; `UsageError` for a fraction outside 0 to below 1.
    """
    if not 0 <= val_fraction < 1:
        raise UsageError(f"--val-fraction is {val_fraction:g}; it must be at least 0 and below 1.")
    found, notes = _read(path)
    train = found.splits.get("train")
    if train is None:
        raise EdgewiseError(
            f"There is no training part in {path}, only {' and '.join(found.splits)}.\n{layout(found.root)}"
        )
    if len(train) < 2:
        raise EdgewiseError(
            f"There is only one class in {path}: {next(iter(train))}. Telling things apart takes at least two."
            f"{_inner_hint(found)}"
        )
    classes = tuple(sorted(train))
    for part, photos in found.splits.items():
        if unknown := sorted(photos.keys() - train.keys()):
            raise EdgewiseError(
                f"{counted(len(unknown), 'class')} in {part} but not in train: {listed(unknown)}. "
                f"Train has {listed(list(classes))}. Add training photos, or take the class out of {part}."
            )
    kept, held = dict(train), dict(found.splits.get("val", {}))
    if "val" not in found.splits and val_fraction > 0:
        for name in classes:
            kept[name], held[name] = _cut(train[name], found.root, val_fraction, seed)
    test = found.splits.get("test", {})
    return ImageSet(
        found.root,
        classes,
        _labelled(kept, classes),
        _labelled(held, classes),
        _labelled(test, classes),
        found.skipped,
        notes,
    )


def open_labelled(path: Path, classes: Sequence[str]) -> Labelled:
    """Open photos to evaluate a run with these ``classes``: test where there is one, else val, else all.

    A class of the run may be absent.  Raises `EdgewiseError` for a class the run does not know.
    """
    found, _ = _read(path)
    split: Literal["test", "val", "all"] = "all"
    photos: Mapping[str, tuple[Path, ...]] = found.splits.get("train", {})
    if "test" in found.splits:
        split, photos = "test", found.splits["test"]
    elif "val" in found.splits:
        split, photos = "val", found.splits["val"]
    labels = {normal(name): label for label, name in enumerate(classes)}
    if unknown := sorted(photos.keys() - labels.keys()):
        missing = sorted(labels.keys() - photos.keys())
        absent = f" Not there: {listed(missing)}." if missing else ""
        raise EdgewiseError(
            f"The run does not know {counted(len(unknown), 'class')} in {path}: {listed(unknown)}.{absent} "
            "The names must be those the run was trained with."
        )
    samples = [Sample(photo, labels[name]) for name in sorted(photos) for photo in photos[name]]
    return Labelled(tuple(samples), split)


def _read(path: Path) -> tuple[Found, tuple[str, ...]]:
    """What is there, and notes about it."""
    if (named := official(path)) is not None:
        chosen, folder = named
        if not folder.is_dir():
            what = f"{folder} is a file, not the folder" if folder.exists() else f"There is no folder at {folder}"
            raise EdgewiseError(f"{what} with {chosen.title}.{'' if folder.exists() else _nearby(folder)}")
        found = chosen.open(folder)
        return found, chosen.differences(found)
    if path.is_dir():
        return read_folder(path), ()
    if not path.exists():
        raise EdgewiseError(f"There is no folder or CSV file at {path}.{meant(path) or _nearby(path)}")
    if path.suffix.lower() == ".csv":
        return read_table(path), ()
    hint = " Unpack it first." if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z") else ""
    raise EdgewiseError(f"{path} is neither a folder of photos nor a CSV file.{hint}")


def _nearby(path: Path) -> str:
    """What there is instead: a likely slip of the pen, or the neighbours."""
    above = next(folder for folder in path.absolute().parents if folder.is_dir())
    try:
        names = sorted(entry.name for entry in above.iterdir() if not entry.name.startswith("."))
    except OSError:
        return ""
    if above == path.absolute().parent and (close := get_close_matches(path.name, names, n=1)):
        return f" Did you mean {path.with_name(close[0])}?"
    return f" In {above} there is {listed(names, 6)}." if names else f" The folder {above} is empty."


def _inner_hint(found: Found) -> str:
    """For a set wrapped in a further folder, as archives often are."""
    (photos,) = found.splits["train"].values()
    inner = {photo.relative_to(found.root).parts[:2] for photo in photos if photo.is_relative_to(found.root)}
    if len(inner) < 2 or any(found.root.joinpath(*parts).is_file() for parts in inner):
        return ""
    return f" Did you mean {found.root.joinpath(next(iter(inner))[0])}?"


def _cut(photos: Sequence[Path], root: Path, fraction: float, seed: int) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """One class's photos for train and for val, both in the order given."""
    number = min(len(photos) - 1, max(1, int(fraction * len(photos) + 0.5)))
    held = set(sorted(photos, key=lambda photo: _lot(photo, root, seed))[:number])
    return tuple(p for p in photos if p not in held), tuple(p for p in photos if p in held)


def _lot(photo: Path, root: Path, seed: int) -> bytes:
    """A photo draws its own lot, from its name: neither the disk's order nor other photos matter."""
    text = f"{seed}/{normal(name_of(photo, root))}"
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _labelled(photos: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> tuple[Sample, ...]:
    return tuple(Sample(photo, label) for label, name in enumerate(classes) for photo in photos.get(name, ()))
