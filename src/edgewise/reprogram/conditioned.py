"""A frozen generator that makes samples of a class that is asked for, taught by a few labelled samples."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.core.progress import Listener, Silent
from edgewise.core.seeds import derive
from edgewise.reprogram.kept import keep, read, told
from edgewise.reprogram.pipeline import AT_ONCE
from edgewise.reprogram.sources.generator import Generator
from edgewise.reprogram.task import Labelled
from edgewise.reprogram.trainers.adversarial import Adversarial, Duel
from edgewise.reprogram.transforms.latent import LatentMap, LatentProgram
from edgewise.train.loop import Scores, StepResult, run

KIND = "conditioner"
UPDATES = 50
"""An epoch."""


class Conditioned:
    """``G(r_y(z))``: a frozen ``generator`` G behind a trained transform r_y of its noise for every class y.

    The container of the classifiers' world, `Reprogrammed`, has no place for it: samples are noise and a class, what
    comes out is not read as anything, and no loss compares one sample with another.  An epoch is `UPDATES` updates,
    each with ``batch_size`` labelled samples drawn at random, so that it means the same for few labels and for many.

    After `fit`: ``classes_`` (the labels in order), ``program_`` (r), and ``history_``, in which ``train_loss`` is the
    program's and ``train_accuracy`` the share of made samples that the critic took for real.
    """

    def __init__(
        self,
        generator: Generator,
        transform: LatentMap | None = None,
        trainer: Adversarial | None = None,
        epochs: int = 30,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        if epochs < 0 or batch_size < 1:
            raise UsageError(f"epochs is {epochs} and batch_size {batch_size}; at least 0 and 1.")
        self.generator, self.transform, self.trainer = generator, transform or LatentMap(), trainer or Adversarial()
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed

    def fit(
        self,
        samples: ArrayLike | Tensor,
        labels: ArrayLike,
        folder: Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
    ) -> "Conditioned":
        """Train on real ``samples`` (N, …) as the generator makes them, of classes ``labels`` (N,).

        The program of the last epoch is kept.  ``folder`` is where checkpoints go, for ``resume``; by default nothing
        is left.  Raises `UsageError` where samples are not what the generator could make.
        """
        real, names = _images(samples), np.asarray(labels)
        if len(real) == 0:
            raise UsageError("There are no labelled samples to learn from.")
        self.generator.gives.check(real, "A labelled sample")
        self.classes_: NDArray[Any] = np.unique(names)
        known = Labelled(real, torch.from_numpy(np.searchsorted(self.classes_, names)).long())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, 0))
            self.program_ = self.transform.build(self.generator.noise, len(self.classes_))
            duel = self.trainer.build(list(self.program_.named_parameters()), self.generator.gives, len(self.classes_))
        task = ConditionTask(self, known, duel)
        self.history_: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as passing:
            if self.epochs:
                place = run(task, self.epochs, folder or Path(passing), listener or Silent(), resume)
                self.history_ = place.history
        self.generator.check_untouched()
        return self

    def sample(self, label: Any, count: int, seed: int = 0) -> NDArray[np.float32]:
        """``count`` samples (count, …) of the class called ``label``; other ones for another ``seed``."""
        self._fitted()
        if label not in self.classes_.tolist():
            raise UsageError(f"There is no class {label!r}; it learned {', '.join(map(str, self.classes_.tolist()))}.")
        noise = torch.randn(count, self.generator.noise, generator=torch.Generator().manual_seed(seed))
        classes = torch.full((count,), self.classes_.tolist().index(label))
        return self.made(noise, classes).numpy()

    @torch.no_grad()
    def made(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Samples (N, …) of ``noise`` (N, d) for class numbers (N,), places in ``classes_``."""
        program = self._fitted().eval()
        pairs = zip(noise.split(AT_ONCE), classes.split(AT_ONCE), strict=True)
        return torch.cat([self.generator(program(some, of)) for some, of in pairs])

    def save(self, folder: Path) -> None:
        """Write the program into ``folder``, with the generator's fingerprint."""
        program = self._fitted()
        said = {
            "transform": told(self.transform),
            "trainer": told(self.trainer),
            "noise": self.generator.noise,
            "classes": self.classes_.tolist(),
            "seed": self.seed,
        }
        card = (
            "# A program for a frozen generator\n\n"
            f"Noise for {len(self.classes_)} classes of the generator `{self.generator.fingerprint[:12]}`. "
            "It means nothing before another one.\n"
        )
        keep(folder, KIND, self.generator.fingerprint, said, program, card)

    @classmethod
    def load(cls, folder: Path, generator: Generator) -> "Conditioned":
        """What `save` wrote, before ``generator``.

        Raises `EdgewiseError` where the folder was cut off or changed, or ``generator`` is another one than it was
        trained on.
        """
        kept = read(folder, KIND, generator.fingerprint)
        transform = kept.settings("transform", {LatentMap.name: LatentMap})
        trainer = kept.settings("trainer", {Adversarial.name: Adversarial})
        model = cls(generator, transform, trainer, seed=int(kept.manifest["seed"]))
        model.classes_, model.history_ = np.array(kept.manifest["classes"]), []
        model.program_ = transform.build(generator.noise, len(model.classes_))
        kept.fill(model.program_)
        return model

    def _fitted(self) -> LatentProgram:
        if "program_" not in vars(self):
            raise UsageError("Nothing has been fitted yet: call fit first.")
        return self.program_


class ConditionTask:
    """Program against critic, some labelled samples at a time; implements `loop.Task`."""

    steps = UPDATES

    def __init__(self, model: Conditioned, known: Labelled, duel: Duel) -> None:
        self.generator, self.program, self.known, self.duel = model.generator, model.program_, known, duel
        self.batch_size, self.seed = model.batch_size, model.seed
        self.identity: dict[str, Any] = {
            "transform": told(model.transform),
            "trainer": told(model.trainer),
            "seed": model.seed,
            "batch_size": model.batch_size,
            "source": model.generator.fingerprint,
            "samples": known.digest(),
        }

    def batches(self, epoch: int, start: int) -> Iterator[Tensor]:
        yield from (self._drawn(epoch, index) for index in range(start, self.steps))

    def step(self, rows: Tensor, epoch: int, index: int, progress: float) -> StepResult:
        classes = self.known.targets[rows]
        self.program.train()

        def made() -> tuple[Tensor, Tensor]:
            noise = torch.randn(len(rows), self.generator.noise)
            latents, stretched = self.program.moved(noise, classes)
            return self.generator(latents), self.program.penalty(noise, latents, stretched)

        seed = derive(self.seed, 1, epoch, index)
        loss, fooled = self.duel.step(self.known.samples[rows], classes, made, progress, seed)
        return StepResult(loss, fooled, len(rows))

    def describe(self, epoch: int, index: int) -> str:
        return f"samples {self._drawn(epoch, index).tolist()}"

    def validate(self) -> Scores | None:
        return None

    def rate(self, progress: float) -> float:
        return self.duel.rate(progress)

    def model_tensors(self) -> Mapping[str, Tensor]:
        return self.program.state_dict()

    def optimizer_tensors(self) -> Mapping[str, Tensor]:
        return self.duel.tensors()

    def set_updates(self, updates: int) -> None:
        self.duel.set_updates(updates)

    def _drawn(self, epoch: int, index: int) -> Tensor:
        random = torch.Generator().manual_seed(derive(self.seed, 2, epoch, index))
        return torch.randint(len(self.known), (self.batch_size,), generator=random)


def _images(values: ArrayLike | Tensor) -> Tensor:
    """Bytes are colours from 0 to 1."""
    found = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    return found / 255 if found.dtype == torch.uint8 else found.float()
