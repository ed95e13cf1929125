"""What the page needs of a ``compress`` run's record, checked once and named."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

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
from edgewise.report.section import Section
from edgewise.report.tiles import Codes, unpacked

ARMS = {
    "wpc": "ternary weights, and a group penalty that leaves the strong groups alone",
    "naive": "ternary weights, and a plain group penalty",
    "tern": "ternary weights, and no penalty",
    "prune": "full-precision weights, and a plain group penalty",
    "float": "full-precision weights, for compressed networks to be compared with",
}
MOST_NORMS = 200_000  # of one layer


@dataclass(frozen=True)
class Layer:
    """A compressed layer: ``groups`` of which ``stored`` hold anything, sparsities 0-1.

    ``alpha`` is None in full precision, ``delta`` (the penalty's threshold) where nothing is clipped; ``norms`` are
    those of the groups' full-precision weights.
    """

    name: str
    shape: tuple[int, ...]
    groups: int
    stored: int
    group_sparsity: float
    overall_sparsity: float
    alpha: float | None
    delta: float | None
    norms: tuple[float, ...]

    @property
    def slab(self) -> int:
        """Input channels of a group, C_g."""
        return self.shape[0] * self.shape[1] // self.groups

    @property
    def size(self) -> str:
        """``"64 x 64 x 3 x 3"``"""
        return " × ".join(map(str, self.shape))


@dataclass(frozen=True)
class Evolution:
    """One layer over the epochs: (epoch, threshold) and (epoch, share of groups that are absent)."""

    name: str
    delta: tuple[tuple[float, float], ...]
    sparsity: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Rates:
    """How many times smaller, counted three ways; None where the run has no such number."""

    eq_2_8: float | None
    with_ends: float | None
    file: float | None


@dataclass(frozen=True)
class Compression:
    """A finished ``compress``.  ``penalties`` are (epoch, value), lambda included; ``clip`` is None where unbounded.

    ``float_bytes``: every parameter of the float network in 32 bits; ``file_bytes``: the packed file.
    """

    command: str
    backbone: str
    arm: str
    pe: int
    lam: float
    clip: float | None
    config: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    data: Data
    results: Results
    layers: tuple[Layer, ...]
    group_sparsity: float | None
    overall_sparsity: float | None
    rates: Rates
    float_bytes: int
    file_bytes: int | None
    tiles: tuple[str, Codes] | None
    dead: tuple[str, ...]
    history: tuple[Epoch, ...]
    penalties: tuple[tuple[float, float], ...]
    evolution: tuple[Evolution, ...]
    notes: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    seconds: float

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights were kept, where that is not simply the last one."""
        last = self.history[-1].number if self.history else None
        return None if self.results.best_epoch == last else self.results.best_epoch

    @property
    def ternary(self) -> bool:
        """Are the weights -1, 0 and 1 times a number?"""
        return any(layer.alpha is not None for layer in self.layers)


def read_compression(record: Section) -> Compression:
    """The record as a `Compression`; `EdgewiseError` names what is missing, mistyped or contradictory."""
    config, inner = record.section("config"), record.section("compress")
    norms = inner.section("norms")
    layers = tuple(_layer(row, norms) for row in inner.sections("layers"))
    arm, sizes, width = inner.text("arm"), inner.section("bytes"), config.value.get("width")
    if arm not in ARMS:
        raise inner.wrong("arm", f"is {arm!r}; it must be one of {', '.join(ARMS)}")
    rows = record.sections("history")
    return Compression(
        command=record.text("command"),
        backbone=config.text("backbone") + (f" (width {width})" if width not in (None, 1) else ""),
        arm=arm,
        pe=inner.count("pe"),
        lam=inner.number("lam"),
        clip=inner.number_or_none("clip"),
        config=tuple(config.settings()),
        environment=(*record.section("environment").settings(), *record.section("seeds").settings()),
        data=read_data(record.section("data")),
        results=read_results(record.section("metrics"), record.section("data").items("classes")),
        layers=layers,
        group_sparsity=inner.share("group_sparsity"),
        overall_sparsity=inner.share("overall_sparsity"),
        rates=_rates(inner.section("rates")),
        float_bytes=sizes.count("float"),
        file_bytes=None if sizes.raw("file") is None else sizes.count("file"),
        tiles=None if inner.raw("tiles") is None else _tiles(inner.section("tiles"), layers),
        dead=tuple(inner.texts("dead")),
        history=read_history(record),
        penalties=tuple((row.count("epoch"), row.number("penalty")) for row in rows),
        evolution=tuple(_evolution(layer.name, rows) for layer in layers),
        notes=read_notes(record),
        mistakes=read_mistakes(record),
        seconds=record.number("seconds"),
    )


def _layer(row: Section, norms: Section) -> Layer:
    shape, groups, stored = _shape(row), row.count("groups"), row.count("stored")
    if groups == 0 or (shape[0] * shape[1]) % groups or (shape[0] * shape[1] // groups) > shape[1]:
        raise row.wrong("groups", f"is {groups}, which does not divide the {shape[0]} filters of {shape[1]} channels")
    if stored > groups:
        raise row.wrong("stored", f"is {stored}, and there are {groups} groups")
    name = row.text("name")
    return Layer(
        name=name,
        shape=shape,
        groups=groups,
        stored=stored,
        group_sparsity=_share(row, "group_sparsity"),
        overall_sparsity=_share(row, "overall_sparsity"),
        alpha=row.number_or_none("alpha"),
        delta=row.number_or_none("delta"),
        norms=_norms(norms, name, groups),
    )


def _shape(row: Section) -> tuple[int, ...]:
    shape = row.items("shape")
    if len(shape) not in (2, 4) or not all(type(side) is int and side > 0 for side in shape):
        raise row.wrong("shape", "must be the (N, C) or (N, C, K, K) of a weight")
    return tuple(shape)


def _norms(norms: Section, name: str, groups: int) -> tuple[float, ...]:
    """Of one layer; the section's keys are the layers' names, as long as they are printable."""
    values = norms.items(name)
    if len(values) != groups or groups > MOST_NORMS:
        raise norms.wrong(name, f"has {len(values)} norms; it must be one for each of {groups} groups")
    if not all(type(value) in (int, float) and value >= 0 for value in values):
        raise norms.wrong(name, "must hold numbers, zero or more")
    return tuple(values)


def _share(row: Section, key: str) -> float:
    value = row.share(key)
    if value is None:
        raise row.wrong(key, "is null; it must be between 0 and 1")
    return value


def _rates(rates: Section) -> Rates:
    return Rates(*(rates.number_or_none(key) for key in ("eq_2_8", "with_ends", "file")))


def _tiles(section: Section, layers: tuple[Layer, ...]) -> tuple[str, Codes]:
    """The name of the layer whose codes are recorded, and these."""
    name, shape = section.text("name"), _shape(section)
    layer = next((layer for layer in layers if layer.name == name), None)
    if layer is None or layer.shape != shape:
        raise section.wrong("name", f"is {name!r}; it must be a layer of compress.layers, of the same shape")
    try:
        packed = base64.b64decode(section.text("codes"), validate=True)
        values = unpacked(packed, prod(shape))
    except (binascii.Error, ValueError) as error:
        raise section.wrong("codes", f"cannot be read ({error})") from error
    filters, channels, *kernel = shape
    high, wide = kernel or (1, 1)
    return name, Codes((filters, channels, high, wide), layer.slab, values)


def _evolution(name: str, rows: list[Section]) -> Evolution:
    delta, sparsity = [], []
    for row in rows:
        layers = row.section("layers")
        pair = layers.items(name)
        if len(pair) != 2:
            raise layers.wrong(name, "must be a threshold and a group sparsity")
        values: Mapping[str, object] = {"threshold": pair[0], "group sparsity": pair[1]}
        numbers = Section(values, f"{layers.where}.{name}", layers.file)
        epoch, threshold = row.count("epoch"), numbers.number_or_none("threshold")
        sparsity.append((epoch, _share(numbers, "group sparsity")))
        if threshold is not None:
            delta.append((epoch, threshold))
    return Evolution(name, tuple(delta), tuple(sparsity))
