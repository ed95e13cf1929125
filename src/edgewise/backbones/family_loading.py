"""One of our own families with weights from a file, the package, or a seed.

What the file says is used without a flag; what it does not say is found in its shapes (the width,
the number of classes) or assumed from the family, and every assumption is noted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import seeded
from edgewise.backbones.families import FAMILIES
from edgewise.backbones.matching import compare, put
from edgewise.backbones.recognition import fitting, head_outputs, width_in, with_own_head
from edgewise.backbones.weight_files import WeightFile, read_weights
from edgewise.backbones.weights import Description, WeightRecord, described
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess

WITHOUT_CHOICE = {"padding": "torch", "bn_eps": 1e-5, "spec": None}
"""What a family has that offers no choice of it; another value in a file is an error, except a spec."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network of a family, and what is known about it; ``settings`` rebuild it."""

    module: nn.Module
    settings: Mapping[str, Any]
    input: Preprocess
    classes: tuple[str, ...] | None = None
    weights: WeightRecord | None = None
    notes: tuple[str, ...] = ()


def packaged(family: Family, width: float | None, classes: int | None, seed: int) -> Loaded:
    """The family with the weights that ship with Edgewise; raises an error that says what to do without."""
    if family.weights is None:
        raise UsageError(
            f"No weights of {family.name} come with Edgewise. There are three ways to get them: "
            "--weights FILE (a .safetensors or .pth file), --backbone timm:NAME (a network of timm, "
            "which downloads its weights), or --weights none (random weights: everything is learned from your photos)."
        )
    if not family.weights.is_file():
        raise EdgewiseError(
            f"The weights that come with {family.name} are missing: there is no {family.weights}. "
            "Install Edgewise again, name a file with --weights FILE, or start from random weights with --weights none."
        )
    return from_file(family, read_weights(family.weights), None, width, classes, seed)


def random_start(family: Family, width: float | None, classes: int | None, seed: int) -> Loaded:
    """The family with random weights."""
    settings = family.checked({} if width is None else {"width": width})
    outputs = family.classes if classes is None else classes
    with seeded(seed):
        module = family.build(classes=outputs, **settings)
    note = f"{family.name} starts from random weights: everything has to be learned from your photos."
    return Loaded(module, {**settings, "classes": outputs, "seed": seed}, family.input, notes=(note,))


def from_file(
    family: Family, file: WeightFile, path: str | None, width: float | None, classes: int | None, seed: int
) -> Loaded:
    """The family with the tensors of ``file``; ``path`` is how the user named it.

    A file without a head gets a random one, and so does one whose head has other than ``classes``
    outputs.  Raises `EdgewiseError` when the file is of another family or does not fit.
    """
    said = described(file)
    settings, found_width = _settings(family, file, said, width)
    outputs = head_outputs(family, file.tensors)
    keep_head = outputs is not None and classes in (None, outputs)
    settings["classes"] = outputs if keep_head else classes or outputs or family.classes
    try:
        with seeded(seed):
            module = family.build(**settings)
    except EdgewiseError as error:
        raise EdgewiseError(f"The weights {file.path} cannot be used. {error}") from error
    tensors = file.tensors if keep_head else with_own_head(family, module, file.tensors)
    if mismatch := compare(module, tensors):
        wide = f" of width {settings['width']:g}" if "width" in settings else ""
        fits = " and ".join(fitting(file.tensors, said.settings.get("spec")))
        remedy = f"It fits {fits}." if fits else "Is it a checkpoint of another network?"
        raise EdgewiseError(f"The weights {file.path} do not fit {family.name}{wide}: {mismatch}. {remedy}")
    put(module, tensors, str(file.path))
    if said.classes is not None and len(said.classes) != (outputs or len(said.classes)):
        raise EdgewiseError(
            f"The metadata of {file.path} is damaged: it names {len(said.classes)} classes, its head has {outputs}."
        )
    if not keep_head:
        settings["seed"] = seed
    record = WeightRecord(
        path,
        file.sha256,
        said.input or family.input,
        settings.get("padding"),
        settings.get("bn_eps"),
        said.classes if keep_head else None,
        said.licence,
        said.source,
        head=keep_head,
    )
    notes = _notes(family, file, said, settings, found_width, outputs, keep_head)
    return Loaded(module, settings, record.input, record.classes, record, notes)


def _settings(
    family: Family, file: WeightFile, said: Description, width: float | None
) -> tuple[dict[str, Any], float | None]:
    """The family's settings for ``file``, and the width if it had to be found in the shapes."""
    if said.family not in (None, family.name):
        remedy = f"use --backbone {said.family}" if said.family in FAMILIES else "that is no family of Edgewise"
        raise EdgewiseError(f"{file.path} holds weights of {said.family}, not of {family.name}: {remedy}.")
    given = dict(said.settings)
    for name, only in WITHOUT_CHOICE.items():
        if name not in family.settings and (only is None or given.get(name) == only):
            given.pop(name, None)
    found = None
    if width is not None:
        if given.get("width", width) != width:
            raise UsageError(f"{file.path} holds width {given['width']}, not {width:g}; leave --width out.")
        given["width"] = width
    elif "width" in family.settings and "width" not in given and (found := width_in(family, file.tensors)):
        given["width"] = found
    try:
        return family.checked(given), found
    except EdgewiseError as error:
        raise type(error)(f"The weights {file.path} cannot be used. {error}") from error


def _notes(
    family: Family,
    file: WeightFile,
    said: Description,
    settings: Mapping[str, Any],
    found_width: float | None,
    outputs: int | None,
    keep_head: bool,
) -> tuple[str, ...]:
    name, notes = file.path.name, []
    expects = said.input or family.input
    words = {
        "padding": f"padding {settings.get('padding')}",
        "bn_eps": f"norm epsilon {settings.get('bn_eps')}",
        "spec": "the network's spec",
    }
    input_words = f"input {expects.size} px, mean {_numbers(expects.mean)}, std {_numbers(expects.std)}"
    if said.recorded:
        known = [words[key] for key in ("padding", "bn_eps") if key in settings]
        notes.append(f"{name} is known by its SHA-256: {'; '.join([*known, input_words])}.")
    else:
        assumed = [words[key] for key in words if key in family.settings and key not in said.settings]
        assumed += [] if said.input else [input_words]
        if assumed:
            notes.append(f"{name} does not say everything; assumed, as usual for {family.name}: {'; '.join(assumed)}.")
    if found_width is not None:
        notes.append(f"Width {found_width:g} was found in the shapes of {name}.")
    if outputs is None:
        notes.append(f"{name} has no head (the last layer): it is random until it is trained.")
    elif not keep_head:
        notes.append(
            f"The head in {name} has {outputs} outputs, not {settings['classes']}: it is random until it is trained."
        )
    return tuple(notes)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)
