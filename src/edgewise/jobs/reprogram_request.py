"""What ``edgewise reprogram`` can be told, and what that resolves to."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgewise.core.errors import UsageError, unknown
from edgewise.core.settings import check, setting, with_texts
from edgewise.jobs.reprogram_source import SourceRequest
from edgewise.reprogram import Pad, Space, mapping_class, trainer_class, transform_class

EPOCHS = 10
COARSE = 8  # numbers along a side of a program that is learned without gradients
SIDES = (8, 4096)  # pixels that photos can be read at

Parts = dict[str, Any]
"""``transform``, ``mapping`` and ``trainer``: settings, as `edgewise.reprogram.Reprogrammed` takes them."""


@dataclass(frozen=True)
class ReprogramRequest:
    """Everything ``edgewise reprogram`` can be told but the token; the defaults are the command's.

    ``settings`` are texts by ``PART.NAME``, such as ``{"pad.size": "96"}``; ``epochs`` None: 10, or what ``budget``
    affords.
    """

    data: str
    source: str
    weights: str | None = None
    width: float | None = None
    image_size: int | None = setting(None, "side of the source's input in pixels", low=8, high=4096)
    transform: str = "pad"
    mapping: str = "frequency"
    m: int | None = setting(None, "the source's labels for each class", low=1, high=1000)
    trainer: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    black_box: str | None = None
    budget: int | None = setting(None, "queries", low=1, high=10**12)
    price: float = setting(0.0, "of a query", low=0, high=1e6)
    epochs: int | None = setting(None, "times every photo is seen", low=0, high=100_000)
    batch_size: int = setting(16, "photos in a step", low=1, high=65_536)
    val_fraction: float = setting(0.15, "share of train that becomes val where there is none", low=0, high=0.9)
    max_bad: float = setting(0.01, "share of unreadable photos to put up with", low=0, high=1)
    workers: int | None = setting(None, "processes that decode photos", low=0, high=256)
    seed: int = setting(0, "seed of everything random", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self, "reprogram")
        if self.answers_only:
            return
        for option, given in (("--budget", self.budget is not None), ("--price", self.price > 0)):
            if given:
                raise UsageError(
                    f"{option} is for a source that only answers: add --black-box probs, or name an address."
                )

    @property
    def asked(self) -> SourceRequest:
        """Which source, and how it may be asked."""
        return SourceRequest(self.source, self.weights, self.width, self.image_size, self.black_box)

    @property
    def answers_only(self) -> bool:
        """Can the source not be looked into?"""
        return self.asked.answers_only


def resolve_parts(request: ReprogramRequest) -> Parts:
    """The parts with their settings; raises `UsageError` for a name or value that there is not.

    A program that is learned without gradients is a coarse grid, unless the settings say otherwise.
    """
    usual = "sphere" if request.answers_only else "gradient"
    kinds: dict[str, type[Any]] = {
        "transform": transform_class(request.transform),
        "mapping": mapping_class(request.mapping),
        "trainer": trainer_class(request.trainer or usual),
    }
    fields = {kind.name: [one.name for one in dataclasses.fields(kind)] for kind in kinds.values()}
    texts = _by_part(request.settings, fields)
    if request.m is not None:
        _labels_said_once(request, fields, texts)
        texts[request.mapping]["labels"] = str(request.m)
    if not kinds["trainer"].follows_gradients and "grid" in fields[request.transform]:
        texts[request.transform].setdefault("grid", str(COARSE))
    return {role: with_texts(kind(), texts[kind.name]) for role, kind in kinds.items()}


def settled(parts: Parts, takes: Space) -> Parts:
    """``parts`` before a source of images: a padded photo fills three quarters of them where no size was said."""
    transform = parts["transform"]
    if not isinstance(transform, Pad) or transform.size:
        return parts
    return {**parts, "transform": dataclasses.replace(transform, size=round(0.75 * min(takes.shape[1:])))}


def side_of(parts: Parts, takes: Space) -> int:
    """Pixels at which photos are read: a padded one's own, else the source's image's.

    Raises `UsageError` where that is too few or too many.
    """
    transform = parts["transform"]
    if not isinstance(transform, Pad):
        return min(takes.shape[1:])
    if not SIDES[0] <= transform.size <= SIDES[1]:
        raise UsageError(f"pad.size is {transform.size}; photos can be read at {SIDES[0]} to {SIDES[1]} pixels.")
    return transform.size


def resolved(request: ReprogramRequest, parts: Parts) -> dict[str, Any]:
    """``config.yaml``: every setting, with those of the parts."""
    values = dataclasses.asdict(request)
    for gone in ("settings", "m"):
        del values[gone]
    return {**values, **{role: {"name": part.name, **dataclasses.asdict(part)} for role, part in parts.items()}}


def _by_part(settings: Mapping[str, str], fields: Mapping[str, list[str]]) -> dict[str, dict[str, str]]:
    """``{"pad.size": "96"}`` → ``{"pad": {"size": "96"}, …}``."""
    texts: dict[str, dict[str, str]] = {name: {} for name in fields}
    for key, text in settings.items():
        part, dot, name = key.partition(".")
        if not dot:
            having = [known for known, names in fields.items() if key.replace("-", "_") in names]
            owner = (having or [*fields])[0]
            raise UsageError(
                f"--set {key}={text} does not say whose setting it is: write --set {owner}.{key}={text}. "
                f"The parts of this run are {', '.join(fields)}."
            )
        if part not in fields:
            raise unknown("part of this run", part, fields)
        texts[part][name] = text
    return texts


def _labels_said_once(
    request: ReprogramRequest, fields: Mapping[str, list[str]], texts: Mapping[str, Mapping[str, str]]
) -> None:
    if "labels" not in fields[request.mapping]:
        raise UsageError(
            f"--m says how many labels a class gets, and the mapping {request.mapping} gives it none of its own; "
            "leave it out."
        )
    if "labels" in texts[request.mapping]:
        raise UsageError(f"--m and --set {request.mapping}.labels say the same thing; leave one of the two out.")
