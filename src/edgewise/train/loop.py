"""The loop: epochs, validation, checkpoints, interruption, resumption.

It runs a `Task` and knows nothing of methods, data or the terminal.  A run that was killed and
resumed ends with the same bits as one that was not: the checkpoint holds every tensor a step
changes, and all randomness follows from the position.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from torch import Tensor

from edgewise.core.errors import EdgewiseError, InterruptedRun
from edgewise.core.progress import Listener
from edgewise.train.checkpoint import read_checkpoint, restore, write_checkpoint

SECONDS_BETWEEN_CHECKPOINTS = 20.0

Watchdog = Callable[[], str | None]
Measures = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Mean loss and accuracy (0-1) over a set."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class StepResult:
    """What one step saw: the mean loss of the batch, hits and images."""

    loss: float
    hits: int
    count: int


class Task(Protocol):
    """What the loop runs."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings, data and weights as JSON; a checkpoint of another identity is not resumed."""

    @property
    def steps(self) -> int:
        """Steps in an epoch."""

    def batches(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of ``epoch`` from number ``start`` on."""

    def step(self, batch: Any, epoch: int, index: int, progress: float) -> StepResult:
        """Train on one batch, unless its loss is not finite: then change nothing and say so."""

    def describe(self, epoch: int, index: int) -> str:
        """The batch in the user's words, for a message."""

    def validate(self) -> Scores | None:
        """Scores on the validation set; None where there is none."""

    def rate(self, progress: float) -> float:
        """The first learning rate, for the table."""

    def model_tensors(self) -> Mapping[str, Tensor]:
        """Live tensors of the model that training changes."""

    def optimizer_tensors(self) -> Mapping[str, Tensor]:
        """Live tensors of the optimizer."""

    def set_updates(self, updates: int) -> None:
        """Tell the optimizer how many updates were made before."""


@dataclass
class Position:
    """Where a run is.  ``step`` counts finished steps of ``epoch``; sums are over those."""

    epoch: int = 0
    step: int = 0
    updates: int = 0
    loss_sum: float = 0.0
    hits: int = 0
    count: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def unwatched() -> str | None:
    """The watchdog of a run without a budget."""
    return None


def nothing_more() -> Mapping[str, Any]:
    """The measures of a run whose epochs tell of loss and accuracy only."""
    return {}


def run(
    task: Task,
    epochs: int,
    folder: Path,
    listener: Listener,
    resume: bool,
    watchdog: Watchdog = unwatched,
    measures: Measures = nothing_more,
    last: bool = False,
) -> Position:
    """Train for ``epochs`` epochs; the model ends with the tensors of its best epoch.

    Best is the highest validation accuracy, then the lowest validation loss; without validation
    the last epoch, and so with ``last``: where a penalty goes on, the most accurate epoch is an early one that
    it has not reached.  Checkpoints go to ``folder`` after every epoch and about every 20 seconds, and at
    the start.  ``watchdog`` is called after every step; a complaint of its ends the run.  ``measures`` is called
    after every epoch, and what it finds in the model joins the epoch's row.

    Raises `InterruptedRun` after Ctrl-C or SIGTERM, with everything saved; `EdgewiseError` when
    the loss is not finite, the checkpoint belongs to another run, or the watchdog complained.
    """
    place = _restored(task, folder) if resume else Position()
    if place.updates == 0:
        _save(task, place, folder)  # whatever happens in the first step, there is something to go on from
    with _stop_requested() as stopping:
        while place.epoch < epochs:
            _epoch(task, place, epochs, folder, listener, stopping, watchdog, measures, last)
    best = read_checkpoint(folder, "best")
    if best is not None and place.best_epoch != epochs:
        restore(task.model_tensors(), best[0], folder)
    return place


def _epoch(
    task: Task,
    place: Position,
    epochs: int,
    folder: Path,
    listener: Listener,
    stopping: threading.Event,
    watchdog: Watchdog,
    measures: Measures,
    last: bool,
) -> None:
    total = epochs * task.steps
    began = saved = time.monotonic()
    before = place.seconds
    for index, batch in enumerate(task.batches(place.epoch, place.step), place.step):
        result = task.step(batch, place.epoch, index, (place.epoch * task.steps + index) / total)
        if not math.isfinite(result.loss):
            raise EdgewiseError(
                f"The loss became {result.loss} in epoch {place.epoch + 1}, batch {index + 1} "
                f"({task.describe(place.epoch, index)}). The checkpoint before it is kept in {folder}. "
                "Try a lower --lr or --side-lr in a new --out."
            )
        place.step, place.updates = index + 1, place.updates + 1
        place.loss_sum += result.loss * result.count
        place.hits += result.hits
        place.count += result.count
        now = time.monotonic()
        place.seconds = before + now - began
        listener.progress(place.epoch * task.steps + place.step, total)
        complaint = watchdog()
        if stopping.is_set() or complaint or now - saved > SECONDS_BETWEEN_CHECKPOINTS:
            _save(task, place, folder)
            saved = now
        if complaint:
            raise EdgewiseError(complaint)
        if stopping.is_set():
            raise InterruptedRun(
                f"Interrupted in epoch {place.epoch + 1} of {epochs}, after batch {place.step} of {task.steps}; "
                "everything is saved."
            )
    scores = task.validate()
    row = {
        "epoch": place.epoch + 1,
        "train_loss": place.loss_sum / place.count,
        "train_accuracy": place.hits / place.count,
        "val_loss": scores.loss if scores else None,
        "val_accuracy": scores.accuracy if scores else None,
        "lr": task.rate((place.epoch + 1) * task.steps / total),
        "seconds": round(before + time.monotonic() - began, 2),
        **measures(),
    }
    place.history.append(row)
    if last or _is_best(place):
        place.best_epoch = place.epoch + 1
        write_checkpoint(folder, "best", task.model_tensors(), {"epoch": place.best_epoch})
    place.epoch, place.step = place.epoch + 1, 0
    place.loss_sum, place.hits, place.count, place.seconds = 0.0, 0, 0, 0.0
    _save(task, place, folder)
    listener.epoch(row, epochs)


def _is_best(place: Position) -> bool:
    last = place.history[-1]
    if last["val_accuracy"] is None or place.best_epoch == 0:
        return True
    best = place.history[place.best_epoch - 1]
    return (last["val_accuracy"], -last["val_loss"]) > (best["val_accuracy"], -best["val_loss"])


def _live(task: Task) -> dict[str, Tensor]:
    return {
        **{f"model/{name}": tensor for name, tensor in task.model_tensors().items()},
        **{f"optimizer/{name}": tensor for name, tensor in task.optimizer_tensors().items()},
    }


def _save(task: Task, place: Position, folder: Path) -> None:
    write_checkpoint(folder, "state", _live(task), {"identity": dict(task.identity), "position": asdict(place)})


def _restored(task: Task, folder: Path) -> Position:
    checkpoint = read_checkpoint(folder, "state")
    if checkpoint is None:
        return Position()
    tensors, state = checkpoint
    for key, value in task.identity.items():
        if state["identity"].get(key) != value:
            raise EdgewiseError(
                f"The run in {folder.parent} cannot be resumed: its {key} changed since it was interrupted."
            )
    restore(_live(task), tensors, folder)
    place = Position(**state["position"])
    task.set_updates(place.updates)
    return place


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """An event set by the first Ctrl-C or SIGTERM; a second one acts at once."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: FrameType | None) -> None:
        stopping.set()
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, request)
    try:
        yield stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
