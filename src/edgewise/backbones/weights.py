"""What is known about a set of weights besides its tensors.

`described` reads it from a file's metadata (the format of ``docs/interfaces.md``), then from the
records of files we know by SHA-256.  What neither says stays None, and the family's default is
assumed by whoever loads it, in a note to the user.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgewise.backbones.weight_files import WeightFile
from edgewise.backbones.weight_records import RECORDS
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess

SETTINGS = ("width", "padding", "bn_eps")
LONGEST_METADATA = 1_000_000
# ``tensorflow-same`` is the older word
PADDING_WORDS = {"torch": "torch", "tf-same": "tf-same", "tensorflow-same": "tf-same"}


@dataclass(frozen=True)
class WeightRecord:
    """Where a backbone's weights come from, and what they expect.

    ``path`` is the file as the user named it, ``sha256`` its digest; both are None where the
    weights come with the backbone's name.  ``padding`` and ``bn_eps`` are None where the network
    has no such setting.  ``head`` is false where the file has no head and a random one was made.
    """

    path: str | None
    sha256: str | None
    input: Preprocess
    padding: str | None
    bn_eps: float | None
    classes: tuple[str, ...] | None
    licence: str | None
    source: str | None
    head: bool = True


@dataclass(frozen=True)
class Description:
    """What a file says about itself, or its record about it; None and missing keys: not said.

    ``settings`` are the family's, ``padding`` and ``bn_eps`` among them.
    """

    family: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    input: Preprocess | None = None
    classes: tuple[str, ...] | None = None
    licence: str | None = None
    source: str | None = None
    recorded: bool = False


def described(file: WeightFile) -> Description:
    """Everything that is known about ``file``.

    Raises `EdgewiseError` when its metadata is of our format and says something impossible.
    """
    stated = _stated(file)
    record = RECORDS.get(file.sha256)
    if record is None:
        return stated
    recorded: dict[str, Any] = {name: record[name] for name in SETTINGS if name in record}
    return replace(
        stated,
        family=record["family"],
        settings={**stated.settings, **recorded},
        input=Preprocess(record["size"], record["mean"], record["std"]),
        licence=record["licence"],
        source=record["source"],
        recorded=True,
    )


def _stated(file: WeightFile) -> Description:
    """What the metadata says.  Free text in a field (an older habit) counts as not said."""
    said = {name: _json(text) for name, text in file.metadata.items()}
    arch, family = said.get("arch"), None
    settings: dict[str, Any] = {}
    if isinstance(arch, dict) and isinstance(arch.get("family"), str):
        family = arch["family"]
        settings = arch.get("settings", {})
        if not isinstance(settings, dict):
            raise EdgewiseError(f"The metadata of {file.path} is damaged: the settings of its arch are {settings!r}.")
    elif isinstance(arch, dict):
        settings = {"spec": arch}
    if padding := PADDING_WORDS.get(file.metadata.get("padding", "")):
        settings = {**settings, "padding": padding}
    if isinstance(epsilon := said.get("bn_eps"), (int, float)) and math.isfinite(epsilon):
        settings = {**settings, "bn_eps": float(epsilon)}
    classes = said.get("classes")
    if isinstance(classes, list):
        if not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
            raise EdgewiseError(f"The metadata of {file.path} is damaged: its classes are not different names.")
        classes = tuple(classes)
    else:
        classes = None
    try:
        preprocess = Preprocess.from_json(said["input"]) if isinstance(said.get("input"), dict) else None
    except EdgewiseError as error:
        raise EdgewiseError(f"The metadata of {file.path} is damaged. {error}") from error
    return Description(family, settings, preprocess, classes, file.metadata.get("licence"), file.metadata.get("source"))


def _json(text: str) -> Any:
    """The JSON in ``text``; None for text that is none."""
    if len(text) > LONGEST_METADATA:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
