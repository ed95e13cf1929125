"""Sets that are a few files of bytes become folders of pictures, once, in the cache folder.

Everything else here knows photos as files: it decodes them in other processes, names the unreadable
ones, and shows the worst mistakes.  The pictures are BMP: nothing is lost, any viewer opens them, and
the same photos are the same bytes on every machine (what PNG makes of them depends on the zlib).
"""

import contextlib
import errno
import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from glob import glob
from pathlib import Path
from uuid import uuid4

from PIL import Image

from edgewise.core.cache import cache_folder
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import read_json, sha256_of, write_json
from edgewise.data.found import SPLIT_NAMES, SPLITS, Found, Split

VERSION = 1  # of what is written; another one unpacks again
CONTENTS = "contents.json"
DIGITS = 20  # of the digest in the folder's name
A_DAY = 24 * 60 * 60

Picture = tuple[str, Image.Image]  # its place in the folder, as "train/cat/00017", and what it shows


def unpacked(name: str, sources: Sequence[Path], pictures: Callable[[], Iterable[Picture]]) -> Found:
    """The ``pictures`` of the files ``sources`` as a folder of files, made where it is not there whole.

    The folder is named after the content of ``sources`` and appears complete or not at all.  Each time it
    is opened, the number and the digest of all its bytes are compared with those that were written.

    Raises `EdgewiseError` when it cannot be written; what ``pictures`` raises passes.
    """
    folder = cache_folder() / "data" / f"{name}-{_key(sources)}"
    if (found := _whole(folder)) is not None:
        return found
    part = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.part")
    try:
        _remove_old(folder)
        part.mkdir(parents=True)
        for place, picture in pictures():
            _write(part / f"{place}.bmp", picture)
        write_json(part / CONTENTS, _described(part, _files(part)))
        _put(part, folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EdgewiseError(
            f"The photos of {name} could not be unpacked to {folder}: "
            f"{'the disk is full' if full else error.strerror or error}. "
            "Name another folder in the environment variable EDGEWISE_CACHE, or free some space."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if (found := _whole(folder)) is None:
        raise EdgewiseError(
            f"The photos of {name} were unpacked to {folder}, and do not read back as they were written."
        )
    return found


def _key(sources: Sequence[Path]) -> str:
    try:
        text = "".join(f"{source.name} {sha256_of(source)}\n" for source in sources)
    except OSError as error:
        raise EdgewiseError(f"{error.filename} cannot be read: {error.strerror or error}.") from error
    return hashlib.sha256(f"{VERSION}\n{text}".encode()).hexdigest()[:DIGITS]


def _write(file: Path, picture: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    picture.save(content, "BMP")
    file.write_bytes(content.getvalue())


def _whole(folder: Path) -> Found | None:
    """The photos in ``folder``, if they are what was written."""
    if not (folder / CONTENTS).is_file():
        return None
    try:
        files = _files(folder)
        if read_json(folder / CONTENTS, "list of contents") != _described(folder, files):
            return None
    except (EdgewiseError, OSError):
        return None
    splits: dict[Split, dict[str, list[Path]]] = {split: {} for split in SPLITS}
    for name in files:
        part, label, _ = name.split("/")
        splits[SPLIT_NAMES[part]].setdefault(label, []).append(folder / name)
    return Found(folder, {s: {k: tuple(v) for k, v in labels.items()} for s, labels in splits.items() if labels})


def _files(folder: Path) -> list[str]:
    """The pictures, as ``train/cat/00017.bmp``, sorted."""
    return sorted(name.replace(os.sep, "/") for name in glob("*/*/*.bmp", root_dir=folder))


def _described(folder: Path, files: Sequence[str]) -> dict[str, int | str]:
    digest = hashlib.sha256()
    for name in files:
        with open(f"{folder}/{name}", "rb") as handle:
            content = handle.read()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return {"photos": len(files), "sha256": digest.hexdigest()}


def _put(part: Path, folder: Path) -> None:
    """``part`` takes its place, unless another process was quicker: that one's folder is in use."""
    try:
        part.rename(folder)
    except OSError:
        if _whole(folder) is None:
            shutil.rmtree(folder)
            part.rename(folder)


def _remove_old(folder: Path) -> None:
    """What processes that were killed left behind."""
    for part in folder.parent.glob(f".{folder.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > A_DAY:
                shutil.rmtree(part)
