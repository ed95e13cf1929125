"""A folder of class folders, with or without ``train/ val/ test/``.

Photos may lie in folders inside a class folder.  Links to files and folders are followed, except
into a folder one is already inside of.  Nothing depends on the order in which the disk lists names.
"""

import unicodedata
from collections import Counter
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import SPLIT_NAMES, SPLITS, Found, Split, counted, listed, name_of, normal, quoted
from edgewise.data.images import SUFFIXES

IGNORED = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})
# Kinds of photo that people do have, but that are not decoded here: named, never silently dropped.
OTHER_PHOTOS = frozenset(
    {".heic", ".heif", ".avif", ".jfif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".psd", ".svg"}
)

Skipped = list[tuple[Path, str]]


def read_folder(root: Path) -> Found:
    """Find the classes and photos in ``root``.

    Raises `EdgewiseError` when there are no class folders, a class folder has no photo in it, or
    two class folders have the same name after Unicode normalisation.
    """
    skipped: Skipped = []
    parts = _parts(root, skipped)
    if parts:
        found = {split: _classes(folder, root, skipped) for split, folder in parts.items()}
        splits = {split: found[split] for split in SPLITS if found.get(split)}
    else:
        splits = {"train": _classes(root, root, skipped)}
    if not any(splits.values()):
        raise EdgewiseError(f"{_inventory(root)}.\n{layout(root)}")
    return Found(root, splits, tuple(sorted((Path(name_of(path, root)), reason) for path, reason in skipped)))


def layout(root: Path) -> str:
    """A picture of the folders that are expected."""
    name = root.name or str(root)
    return (
        "Expected is one folder for each class, with its photos in it:\n"
        f"    {name}/\n"
        "      ant/   1.jpg  2.jpg  ...\n"
        "      bee/   1.jpg  2.jpg  ...\n"
        f"or the same inside {name}/train/ and, if you like, {name}/val/ and {name}/test/."
    )


def _parts(root: Path, skipped: Skipped) -> dict[Split, Path]:
    folders, _ = _listed(root)
    named = [folder for folder in folders if folder.name.casefold() in SPLIT_NAMES]
    others = [folder for folder in folders if folder not in named]
    # A class of trains may be called "train"; then photos lie right in it, beside other classes.
    if not any(_holds_class_folders(folder) for folder in named) and (others or not named):
        return {}
    parts: dict[Split, Path] = {}
    for folder in named:
        split = SPLIT_NAMES[folder.name.casefold()]
        if split in parts:
            raise EdgewiseError(
                f"{root} has two folders for the same part: {parts[split].name} and {folder.name}. Merge them."
            )
        parts[split] = folder
    skipped += [(folder, "the folder is not called train, val or test") for folder in others]
    return parts


def _holds_class_folders(folder: Path) -> bool:
    folders, files = _listed(folder)
    return bool(folders) and not any(_is_photo(file) for file in files)


def _classes(folder: Path, root: Path, skipped: Skipped) -> dict[str, tuple[Path, ...]]:
    folders, files = _listed(folder)
    strays = [file for file in files if _is_photo(file)]
    if not folders and strays:
        raise EdgewiseError(
            f"{counted(len(strays), 'photo')} directly in the folder {folder}, which has no class folders: "
            f"nothing says what is on them.\n{layout(root)}"
        )
    skipped += [(file, "it lies outside the class folders") for file in strays]
    named: dict[str, Path] = {}
    for class_folder in folders:
        name = normal(class_folder.name)
        if name in named:
            raise EdgewiseError(
                f"Two class folders in {folder} have the same name once Unicode is normalised: "
                f"{quoted(named[name].name)} and {quoted(class_folder.name)}. Merge them or rename one."
            )
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise EdgewiseError(f"The class folder {name!a} in {folder} has a name that is not text. Rename it.")
        named[name] = class_folder
    classes = {name: _photos(place, (folder.resolve(),), skipped) for name, place in named.items()}
    if empty := [name for name, photos in classes.items() if not photos]:
        many = "Every class" if len(empty) == len(classes) else f"{counted(len(empty), 'class')} of {len(classes)}"
        raise EdgewiseError(
            f"{many} in {folder} without photos: {listed(empty)}. {_inventory(named[empty[0]])}. Put photos in "
            f"(files ending in {' '.join(sorted(SUFFIXES))}), or remove the folder."
        )
    return classes


def _photos(folder: Path, inside: tuple[Path, ...], skipped: Skipped) -> tuple[Path, ...]:
    """All photos in ``folder`` and its folders; ``inside`` are the folders above."""
    folders, files = _listed(folder)
    photos = []
    for file in files:
        suffix = file.suffix.lower()
        if suffix in OTHER_PHOTOS:
            skipped.append((file, f"{suffix[1:].upper()} photos are not read; convert it to JPEG"))
        elif suffix in SUFFIXES and not file.is_file():
            skipped.append((file, "it is a broken link, or no ordinary file"))
        elif suffix in SUFFIXES:
            photos.append(file)
    above = (*inside, folder.resolve())
    for inner in folders:
        if not any(outer.is_relative_to(inner.resolve()) for outer in above):  # a link back upwards
            photos += _photos(inner, above, skipped)
    return tuple(photos)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Visible folders and files, each sorted by normalised name."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: (normal(path.name), path.name))
    except OSError as error:
        raise EdgewiseError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    visible = [path for path in entries if not path.name.startswith(".") and path.name not in IGNORED]
    folders = [path for path in visible if path.is_dir()]
    return folders, [path for path in visible if not path.is_dir()]


def _is_photo(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _inventory(folder: Path) -> str:
    """``"The folder x holds 2 folders, 3 .jpg files"``, or that it is empty."""
    folders, files = _listed(folder)
    if not folders and not files:
        return f"The folder {folder} is empty"
    kinds = Counter(file.suffix.lower() for file in files)
    things = [counted(len(folders), "folder")] if folders else []
    things += [counted(n, f"{kind} file" if kind else "file") for kind, n in kinds.most_common(5)]
    return f"The folder {folder} holds {', '.join(things)}"
