"""A frozen model that serves another task, as an estimator: fit, predict, predict_proba, score."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from edgewise.core.errors import UsageError
from edgewise.core.progress import Listener, Silent
from edgewise.data.found import counted
from edgewise.reprogram.artifact import Manifest, Saved, read_program, write_program
from edgewise.reprogram.base import Draws, InputTransform, Mapping, Program, Source
from edgewise.reprogram.mappings.frequency import FrequencyMap
from edgewise.reprogram.pipeline import Pipeline, in_pieces, source_scores
from edgewise.reprogram.sources.ledger import BudgetExceededError
from edgewise.reprogram.sources.tuned import Tuned, with_tuned_parts
from edgewise.reprogram.sources.white_box import WhiteBox
from edgewise.reprogram.space import Space, extremes
from edgewise.reprogram.task import Labelled, ReprogramTask, check_same_samples, cut_short
from edgewise.reprogram.trainers.base import Trainer
from edgewise.reprogram.trainers.gradient import Gradient
from edgewise.reprogram.transforms.pad import Pad
from edgewise.train.loop import run


class Reprogrammed:
    """``source`` (frozen) reprogrammed for the classes that `fit` is shown.

    ``transform``, ``mapping`` and ``trainer`` are settings; every part can be exchanged.  ``samples`` is what a sample
    may be; by default its range is the source's where all training samples lie in it, and whole numbers are symbols up
    to the largest.  ``tune`` names parts of a white box, such as ("layer4", "head"), that train together with the
    program, on a copy of it; by default nothing of the source does.  The constructor stores what it is given and does
    nothing, so that scikit-learn can clone and cross-validate it.

    With ``steps`` an epoch has at most so many, and the next one goes on with the samples that are left: so that what
    a source is asked can be planned.

    After `fit`: ``classes_`` (the labels in order), ``samples_`` (their `Space`), ``work_`` (the `Pipeline`),
    ``first_`` (its tensors before training: the mapping alone), ``history_``, ``best_epoch_`` (whose program it is; 0:
    as it started) and ``stopped_``, a sentence where the budget ended the training before its last step, else None.
    `save` writes it to a folder, and `load` puts it before the same source again.
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        source: Source,
        transform: InputTransform | None = None,
        mapping: Mapping | None = None,
        trainer: Trainer | None = None,
        epochs: int = 10,
        batch_size: int = 32,
        seed: int = 0,
        samples: Space | None = None,
        tune: tuple[str, ...] = (),
        steps: int | None = None,
    ) -> None:
        self.source, self.transform, self.mapping, self.trainer = source, transform, mapping, trainer
        self.epochs, self.batch_size, self.seed, self.samples = epochs, batch_size, seed, samples
        self.tune, self.steps = tune, steps

    def fit(
        self,
        X: ArrayLike | torch.Tensor,
        y: ArrayLike,
        val: tuple[ArrayLike | torch.Tensor, ArrayLike] | None = None,
        folder: Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
    ) -> "Reprogrammed":
        """Train on samples ``X`` (N, …) of classes ``y`` (N,); with ``val`` the best epoch on it is kept.

        ``folder`` is where checkpoints go, for ``resume``; by default nothing is left.  A budget that is used up
        ends the training with the best program so far (as it is then, where there is no ``val``).  Raises `UsageError`
        where the parts do not fit, before anything is asked of the source.
        """
        if self.epochs < 0 or self.batch_size < 1 or (self.steps is not None and self.steps < 1):
            raise UsageError(
                f"epochs is {self.epochs}, batch_size {self.batch_size} and steps {self.steps}; at least 0, 1 and 1."
            )
        listener = listener or Silent()
        samples, labels = _tensor(X), np.asarray(y)
        if len(samples) == 0:
            raise UsageError("There are no samples to train on.")
        self.classes_: NDArray[Any] = np.unique(labels)
        parts = self.parts()
        mapping, trainer = parts["mapping"], parts["trainer"]
        source = with_tuned_parts(self.source, self.tune)
        if self.tune and not trainer.follows_gradients:
            raise UsageError(f"Parts of the source train along the gradient, and {trainer.name} follows none.")
        train = Labelled(samples, self._targets(labels))
        checked = None if val is None else self.labelled(*val)
        self.samples_ = self.samples or _space(samples, self.source.takes)
        self.samples_.check(samples, "A training sample")
        program = first_program(parts, self.samples_, self.source.takes, isinstance(self.source, WhiteBox))
        if resume and folder is not None:
            check_same_samples(train, folder)
        shown = samples if mapping.needs_scores else samples[:0]
        if len(shown):
            listener.stage(f"Asking the source about {len(shown):,} samples, to fit the mapping")
        found = source_scores(program, source, mapping.domain, shown, listener.progress)
        reader = mapping.fit(found, train.targets[: len(found)], len(self.classes_))
        self.work_ = Pipeline(program, source, reader, mapping.domain)
        self.history_: list[dict[str, Any]] = []
        self.best_epoch_, self.stopped_ = 0, None
        self.first_ = {name: tensor.clone() for name, tensor in self.work_.tensors().items()}
        identity: dict[str, Any] = {name: {"name": part.name, **asdict(part)} for name, part in parts.items()}
        identity |= {"seed": self.seed, "batch_size": self.batch_size, "source": self.source.fingerprint}
        identity |= {"tune": list(self.tune), "steps": self.steps}
        task = ReprogramTask(
            self.work_, mapping, trainer, train, checked, self.batch_size, self.seed, identity, self.steps
        )
        if not self.epochs or not self.work_.parameters():
            return self
        with tempfile.TemporaryDirectory() as passing:
            place = folder or Path(passing)
            listener.stage(f"Training for {counted(self.epochs, 'epoch')} of {counted(task.steps, 'step')}")
            try:
                done = run(task, self.epochs, place, listener, resume)
                self.history_, self.best_epoch_ = done.history, done.best_epoch
            except BudgetExceededError as reason:
                self.history_, self.best_epoch_ = cut_short(task, place)
                self.stopped_ = str(reason)
        if isinstance(source, (WhiteBox, Tuned)):
            source.check_untouched()
        return self

    def predict_proba(self, X: ArrayLike | torch.Tensor) -> NDArray[np.float32]:
        """Probabilities (N, classes), in the order of ``classes_``."""
        work, samples = self.fitted(), _tensor(X)
        self.samples_.check(samples, "A sample")
        return in_pieces(work, samples).numpy()

    def predict(self, X: ArrayLike | torch.Tensor) -> NDArray[Any]:
        """The likeliest class of each sample (N,)."""
        places = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[places])

    def score(self, X: ArrayLike | torch.Tensor, y: ArrayLike) -> float:
        """Accuracy, 0 to 1."""
        return float((self.predict(X) == np.asarray(y)).mean())

    def save(self, folder: str | Path, about: Manifest | None = None) -> None:
        """Write what was fitted into ``folder``: program, mapping, source's fingerprint, queries spent.

        ``about`` are further entries of its manifest: what a run knows of where the source is (``origin``), how photos
        become samples (``preprocess``), and what was measured (``metrics``).  Raises `UsageError` where nothing was
        fitted, `EdgewiseError` where the folder cannot be written.
        """
        work, parts = self.fitted(), self.parts()
        saved = Saved(
            work,
            **parts,
            classes=self.classes_,
            samples=self.samples_,
            seed=self.seed,
            tune=tuple(self.tune),
            stopped=self.stopped_,
        )
        write_program(Path(folder), saved, about or {})

    @classmethod
    def load(cls, folder: str | Path, source: Source) -> "Reprogrammed":
        """What `save` wrote, before ``source``; raises `EdgewiseError`, see `edgewise.reprogram.artifact`."""
        saved = read_program(Path(folder), source)
        model = cls(source, saved.transform, saved.mapping, saved.trainer, seed=saved.seed, tune=saved.tune)
        model.work_, model.classes_, model.samples_ = saved.work, saved.classes, saved.samples
        model.history_, model.best_epoch_, model.stopped_ = [], 0, saved.stopped
        return model

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the constructor was given, for scikit-learn."""
        parts, others = (
            ("source", "transform", "mapping", "trainer"),
            ("epochs", "batch_size", "seed", "samples", "tune"),
        )
        return {name: vars(self)[name] for name in (*parts, *others, "steps")}

    def set_params(self, **values: Any) -> "Reprogrammed":
        """Change what the constructor was given, for scikit-learn."""
        if strange := values.keys() - self.get_params().keys():
            raise UsageError(f"There is no parameter {', '.join(sorted(strange))}.")
        vars(self).update(values)
        return self

    def __sklearn_tags__(self) -> Any:
        """A classifier, for scikit-learn 1.6 and later (which asks for this; earlier ones for the name above)."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags())

    def labelled(self, X: ArrayLike | torch.Tensor, y: ArrayLike) -> Labelled:
        """Samples, and the places of their labels in ``classes_``; raises `UsageError` for one that is not there."""
        return Labelled(_tensor(X), self._targets(np.asarray(y)))

    def _targets(self, labels: NDArray[Any]) -> torch.Tensor:
        if strange := set(labels.tolist()) - set(self.classes_.tolist()):
            raise UsageError(f"Classes that training does not have: {', '.join(map(str, sorted(strange)))}.")
        return torch.from_numpy(np.searchsorted(self.classes_, labels)).long()

    def parts(self) -> dict[str, Any]:
        """``transform``, ``mapping`` and ``trainer``: those that were given, or the usual ones."""
        return {
            "transform": self.transform or Pad(),
            "mapping": self.mapping or FrequencyMap(),
            "trainer": self.trainer or Gradient(),
        }

    def fitted(self) -> Pipeline:
        """What was fitted.  Raises `UsageError` where nothing was."""
        if "work_" not in vars(self):
            raise UsageError("Nothing has been fitted yet: call fit first.")
        return self.work_


def first_program(parts: dict[str, Any], samples: Space, takes: Space, white: bool) -> Program:
    """The program that ``parts`` (`Reprogrammed.parts`) start from.

    Raises `UsageError` where they do not go together, or not with a source that only answers (not ``white``).
    """
    transform, trainer = parts["transform"], parts["trainer"]
    program: Program = transform.build(samples, takes)
    _check_drawing(transform, program, trainer)  # first: where it objects, only one trainer fits
    if trainer.follows_gradients and not white:
        raise UsageError(
            f"The trainer {trainer.name} follows gradients, and this source only answers: take sphere or spsa."
        )
    return program


def _check_drawing(transform: InputTransform, program: Program, trainer: Trainer) -> None:
    if isinstance(program, Draws) and not trainer.draws:
        raise UsageError(
            f"The program {transform.name} draws symbols at random before this source, which {trainer.name} cannot "
            "follow: take the trainer policy."
        )
    if trainer.draws and not isinstance(program, Draws):
        raise UsageError(f"The trainer {trainer.name} learns from random draws, and {transform.name} makes none here.")


def _tensor(values: ArrayLike | torch.Tensor) -> torch.Tensor:
    """Bytes are colours from 0 to 1, and stay bytes until they are read; other whole numbers are symbols."""
    found = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    return found if found.dtype == torch.uint8 else found.float() if found.is_floating_point() else found.long()


def _space(samples: torch.Tensor, takes: Space) -> Space:
    """What the samples may be: the source's range where they all lie in it."""
    if samples.dtype == torch.long:
        return Space(tuple(samples.shape[1:]), symbols=max(2, int(samples.max()) + 1))
    least, most = extremes(samples)
    inside = least >= takes.low and most <= takes.high
    return Space(tuple(samples.shape[1:]), *((takes.low, takes.high) if inside else ()))
