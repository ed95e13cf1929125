"""What the pages need of a ``fit`` run's record, checked once and named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewise.report.intervals import wilson
from edgewise.report.section import Section, without_folders

SPLITS = {"train": "training", "val": "validation", "test": "test"}  # the record's word and the reader's
COSTS = (
    "published_mb",
    "predicted_mb",
    "kept_mb",
    "measured_peak_mb",
    "measured_rss_mb",
    "step_ms",
    "macs_forward",
    "macs_backward",
)


@dataclass(frozen=True)
class Epoch:
    """One line of the history; losses are means, accuracies 0-1, None without validation."""

    number: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None


@dataclass(frozen=True)
class Results:
    """What was measured on ``split`` (its ``n`` images); ``confusion[truth][predicted]`` counts images."""

    split: str
    n: int
    best_epoch: int | None
    per_class: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def hits(self) -> int:
        """How many answers were right."""
        return sum(row[index] for index, row in enumerate(self.confusion))

    @property
    def accuracy(self) -> float:
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy: (low, high)."""
        return wilson(self.hits, self.n)

    @property
    def guessing(self) -> float:
        """Accuracy of always answering the most frequent class."""
        return max(map(sum, self.confusion)) / self.n


@dataclass(frozen=True)
class Data:
    """``sizes[split]`` and ``counts[split][class index]`` count images; ``skipped`` are (file, reason)."""

    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    counts: Mapping[str, tuple[int, ...]]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mistake:
    """An image the network was wrong about, with the probability (0-1) it gave its answer."""

    file: str
    thumbnail: str
    truth: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Fit:
    """A finished ``fit``.  ``cost`` is in MB, ms and multiply-accumulates; None is "not measured"."""

    command: str
    method: str
    backbone: str
    config: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    seeds: tuple[tuple[str, str], ...]
    data: Data
    results: Results
    cost: Mapping[str, float | None]
    trainable_params: int
    total_params: int
    artifact_bytes: int
    backbone_bytes: int
    history: tuple[Epoch, ...]
    notes: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    seconds: float


def read_fit(record: Section) -> Fit:
    """The record as a `Fit`; `EdgewiseError` names what is missing, mistyped or contradictory."""
    config, sizes, cost = record.section("config"), record.section("sizes"), record.section("cost")
    data = read_data(record.section("data"))
    width = config.value.get("width")
    return Fit(
        command=record.text("command"),
        method=config.text("method"),
        backbone=config.text("backbone") + (f" (width {width})" if width not in (None, 1) else ""),
        config=tuple(config.settings()),
        environment=tuple(record.section("environment").settings()),
        seeds=tuple(record.section("seeds").settings()),
        data=data,
        results=read_results(record.section("metrics"), record.section("data").items("classes")),
        cost={key: cost.number_or_none(key) for key in COSTS},
        trainable_params=sizes.count("trainable_params"),
        total_params=sizes.count("total_params"),
        artifact_bytes=sizes.count("artifact_bytes"),
        backbone_bytes=sizes.count("backbone_bytes"),
        history=read_history(record),
        notes=read_notes(record),
        mistakes=read_mistakes(record),
        seconds=record.number("seconds"),
    )


def read_notes(record: Section) -> tuple[str, ...]:
    """What the job wanted the reader to know."""
    return tuple(without_folders(note) for note in record.texts("notes"))


def read_history(record: Section) -> tuple[Epoch, ...]:
    """The epochs of a run."""
    return tuple(_epoch(row) for row in record.sections("history"))


def read_mistakes(record: Section) -> tuple[Mistake, ...]:
    """What it was most wrongly sure of."""
    return tuple(_mistake(row) for row in record.sections("mistakes"))


def read_data(data: Section) -> Data:
    """The section ``data`` of any record about labelled images."""
    classes = tuple(data.texts("classes"))
    if len(classes) < 2:
        raise data.wrong("classes", f"has {len(classes)} entries; it must have at least two")
    names, counts = data.items("classes"), data.section("counts")
    present = {split: counts.section(split) for split in SPLITS}
    return Data(
        classes=classes,
        sizes={split: data.count(split) for split in SPLITS},
        counts={
            split: tuple(there.count(name) if name in there.value else 0 for name in names)
            for split, there in present.items()
        },
        skipped=tuple((row.path("file"), without_folders(row.text("reason"))) for row in data.sections("skipped")),
    )


def read_results(metrics: Section, classes: Sequence[str]) -> Results:
    """The section ``metrics`` of a run that was scored; ``classes`` as the record spells them."""
    split, n, size = metrics.text("split"), metrics.count("n"), len(classes)
    if split not in SPLITS:
        raise metrics.wrong("split", f"is {split!r}; it must be one of {', '.join(SPLITS)}")
    for name in ("val", "test"):
        if metrics.share(f"{name}_accuracy") is None and name == split:
            raise metrics.wrong(f"{name}_accuracy", f"is null, although split says {name!r}")
    confusion = metrics.items("confusion")
    square = len(confusion) == size and all(isinstance(row, (list, tuple)) and len(row) == size for row in confusion)
    if not square or not all(type(count) is int and count >= 0 for row in confusion for count in row):
        raise metrics.wrong("confusion", f"must be {size} rows of {size} counts, one for each class")
    images = sum(map(sum, confusion))
    if n == 0 or images != n:
        raise metrics.wrong("confusion", f"counts {images} images, and n is {n}; both must be equal and above 0")
    per_class, best = metrics.section("per_class"), metrics.number_or_none("best_epoch")
    return Results(
        split=split,
        n=n,
        best_epoch=None if best is None else metrics.count("best_epoch"),
        per_class=tuple(per_class.share(name) for name in classes),
        confusion=tuple(tuple(row) for row in confusion),
    )


def _epoch(row: Section) -> Epoch:
    return Epoch(
        number=row.count("epoch"),
        train_loss=row.number("train_loss"),
        train_accuracy=row.number("train_accuracy"),
        val_loss=row.number_or_none("val_loss"),
        val_accuracy=row.number_or_none("val_accuracy"),
    )


def _mistake(row: Section) -> Mistake:
    confidence = row.share("confidence")
    if confidence is None:
        raise row.wrong("confidence", "is null; it must be between 0 and 1")
    return Mistake(row.path("file"), row.text("thumbnail"), row.text("truth"), row.text("predicted"), confidence)
