"""What the page needs of a ``reprogram`` run's record, checked once and named."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.core.units import percent
from edgewise.report.fit_record import (
    Data,
    Epoch,
    Mistake,
    Results,
    read_data,
    read_history,
    read_mistakes,
    read_notes,
    read_results,
)
from edgewise.report.section import Section, relative

CHECKS = ("weights", "answers")
PLANNED = ("mapping", "training", "validation", "scoring", "probes")


@dataclass(frozen=True)
class Source:
    """The frozen model.  ``checked`` says what was looked at again at the end: its weights, its answers, or nothing.

    ``after`` is the digest of its weights at the end, None where they are not here.
    """

    name: str
    fingerprint: str
    after: str | None
    checked: str | None
    classes: int
    shape: str
    tells: str
    remote: bool
    weight_bytes: int | None


@dataclass(frozen=True)
class Asked:
    """What was asked of a source that only answers; ``planned`` are the most queries by what they are for.

    Bytes are None where nothing crossed a wire.
    """

    queries: int
    planned: Mapping[str, int]
    budget: int | None
    price: float
    cost: float
    sent_bytes: int | None
    received_bytes: int | None


@dataclass(frozen=True)
class Reading:
    """The source's labels that stand for a class, each with its weight as text, empty where all count alike."""

    name: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shown:
    """A photo as the source got it, what it said, and how that was read; ``share`` is 0-1."""

    picture: str
    truth: str
    predicted: str
    said: str
    share: float


@dataclass(frozen=True)
class Reprogramming:
    """A finished ``reprogram``.  ``alone`` is the accuracy (0-1) of the mapping without a trained program."""

    command: str
    transform: str
    mapping: str
    trainer: str
    config: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    data: Data
    results: Results
    alone: float | None
    source: Source
    asked: Asked | None
    readings: tuple[Reading, ...] | None
    canvas: str | None
    shown: tuple[Shown, ...]
    trained_numbers: int
    photo_side: int
    artifact_bytes: int
    resident_mb: float | None
    history: tuple[Epoch, ...]
    notes: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    seconds: float


def read_reprogramming(record: Section) -> Reprogramming:
    """The record as a `Reprogramming`; `EdgewiseError` names what is missing, mistyped or contradictory."""
    config, sizes, metrics = record.section("config"), record.section("sizes"), record.section("metrics")
    mapping = record.raw("mapping")
    return Reprogramming(
        command=record.text("command"),
        transform=config.section("transform").text("name"),
        mapping=config.section("mapping").text("name"),
        trainer=config.section("trainer").text("name"),
        config=tuple(config.settings()),
        environment=(*record.section("environment").settings(), *record.section("seeds").settings()),
        data=read_data(record.section("data")),
        results=read_results(metrics, record.section("data").items("classes")),
        alone=metrics.share("mapping_alone_accuracy"),
        source=_source(record.section("source"), sizes),
        asked=None if record.raw("asked") is None else _asked(record.section("asked")),
        readings=None if mapping is None else tuple(_reading(row) for row in record.sections("mapping")),
        canvas=None if record.raw("canvas") is None else record.text("canvas"),
        shown=tuple(_shown(row) for row in record.sections("samples")),
        trained_numbers=sizes.count("trained_numbers"),
        photo_side=sizes.count("photo_side"),
        artifact_bytes=sizes.count("artifact_bytes"),
        resident_mb=record.section("cost").number_or_none("measured_rss_mb"),
        history=read_history(record),
        notes=read_notes(record),
        mistakes=read_mistakes(record),
        seconds=record.number("seconds"),
    )


def _source(source: Section, sizes: Section) -> Source:
    checked = source.raw("checked")
    if checked is not None and checked not in CHECKS:
        raise source.wrong("checked", f"is {checked!r}; it must be one of {', '.join(CHECKS)} or null")
    after = None if source.raw("after") is None else source.text("after")
    if checked == "weights" and after != source.text("fingerprint"):
        raise source.wrong("after", "is not the fingerprint, although the weights were checked")
    remote, name = source.raw("remote"), relative(source.text("name"))
    if type(remote) is not bool:
        raise source.wrong("remote", f"is {remote!r}; it must be true or false")
    return Source(
        name=f"{source.text('calls_itself')} at {name}" if source.raw("calls_itself") is not None else name,
        fingerprint=source.text("fingerprint"),
        after=after,
        checked=checked,
        classes=source.count("classes"),
        shape=" x ".join(str(side) for side in source.items("shape")),
        tells=source.text("tells"),
        remote=remote,
        weight_bytes=_count_or_none(sizes, "weight_bytes"),
    )


def _asked(asked: Section) -> Asked:
    planned = asked.section("planned")
    return Asked(
        queries=asked.count("queries"),
        planned={name: planned.count(name) for name in PLANNED},
        budget=_count_or_none(asked, "budget"),
        price=asked.number("price"),
        cost=asked.number("cost"),
        sent_bytes=_count_or_none(asked, "sent_bytes"),
        received_bytes=_count_or_none(asked, "received_bytes"),
    )


def _reading(row: Section) -> Reading:
    labels = []
    for label in row.sections("labels"):
        weight = label.number_or_none("weight")
        text = "" if weight is None else percent(weight) if 0 <= weight <= 1 else f"{weight:.3g}"
        labels.append((label.text("label"), text))
    return Reading(row.text("class"), tuple(labels))


def _shown(row: Section) -> Shown:
    share = row.share("source_share")
    if share is None:
        raise row.wrong("source_share", "is null; it must be between 0 and 1")
    return Shown(row.text("picture"), row.text("truth"), row.text("predicted"), row.text("source_says"), share)


def _count_or_none(section: Section, key: str) -> int | None:
    return None if section.raw(key) is None else section.count(key)
