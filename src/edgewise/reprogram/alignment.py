"""How well a task is aligned with a source: a diagnostic, not a guarantee (Chen, 2024, Theorem 1; Zheng et al., 2023).

The theorem bounds the task's risk by the source's own plus ``2 sqrt(K) W1``, where W1 is the distance between the
logits of reprogrammed samples and those of the source's own data.  Four reasons not to rely on it: the risk is sqrt(2)
at most, which the bound passes at once (at W1 0.02 for 1,000 classes); W1 of finite samples is too large (so that of
two halves of the same data stands beside it); sliced W1 is no bound at all; and W1 of all samples together does not
see that two classes are exchanged.  The form by class does see it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.reprogram.base import in_domain
from edgewise.reprogram.mappings.label_map import LabelMap
from edgewise.reprogram.pipeline import Pipeline, source_scores
from edgewise.reprogram.reprogrammed import Reprogrammed
from edgewise.reprogram.sources.white_box import WhiteBox
from edgewise.reprogram.space import numbers
from edgewise.reprogram.transport import sliced_wasserstein, wasserstein

WORST = math.sqrt(2)
"""The largest risk there is: sure of a wrong class."""
STEEPEST = 0.5
"""By how much a softmax changes, at most, when logits change by 1 (both in Euclidean length)."""


@dataclass(frozen=True)
class AlignmentReport:
    """What was measured on ``samples`` samples of each side.

    Risks are mean distances between probabilities and the one-hot truth, 0 to sqrt(2).  ``w1`` is the distance of
    logits, ``w1_same`` that of two halves of the source's own data.  ``bound`` is the theorem's, ``by_class`` the form
    by class, None where a class has not exactly one label or no data; ``vacuous`` says that the theorem's tells
    nothing.  ``gradients`` is the share of the samples' gradients, by their first norm, that does not cancel in their
    mean, from 0 (they contradict each other) to 1 (one program helps all); None for a source without gradients.
    """

    samples: int
    source_risk: float
    target_risk: float | None
    w1: float
    w1_same: float
    sliced_w1: float
    bound: float
    vacuous: bool
    by_class: float | None
    gradients: float | None

    def __str__(self) -> str:
        own = "" if self.target_risk is None else f", of the task {self.target_risk:.3f}"
        lines = [
            f"Risk of the source on its own data {self.source_risk:.3f}{own} (at most {WORST:.3f}).",
            f"Logits lie {self.w1:.3g} apart (W1); two halves of the source's own data {self.w1_same:.3g}.",
            f"In slices {self.sliced_w1:.3g}: a trend, no bound.",
            f"Theorem 1: risk of at most {self.bound:.3g}" + (", which says nothing." if self.vacuous else "."),
        ]
        if self.by_class is not None:
            nothing = ", which says nothing" if self.by_class >= WORST else ""
            lines.append(f"By class: at most {self.by_class:.3g}{nothing}.")
        if self.gradients is not None:
            lines.append(f"{self.gradients:.0%} of the samples' gradients point the same way.")
        return "\n".join([*lines, "A diagnostic, not a guarantee."])


def align(
    model: Reprogrammed,
    samples: ArrayLike | Tensor,
    labels: ArrayLike,
    source_samples: Tensor,
    source_labels: Tensor,
    most: int = 400,
    seed: int = 0,
) -> AlignmentReport:
    """Measure a fitted ``model`` (before training: fitted with ``epochs=0``) on samples of its task and of its source.

    ``source_samples`` are what the source reads and ``source_labels`` (M,) its own classes of them; of both sides
    ``most`` at most are drawn, equally many.  A black box is asked about all of them.  Raises `UsageError` where the
    source tells only labels, or there are fewer than two samples.
    """
    work, answers = model.fitted(), model.fitted().source.answers
    if answers in ("label", "features"):
        raise UsageError(f"Alignment is measured on logits or probabilities; this source answers with {answers}.")
    task = model.labelled(samples, labels)
    count = min(most, len(task), len(source_samples))
    if count < 2:
        raise UsageError(
            f"There are {len(task)} samples and {len(source_samples)} of the source: both need 2 at least."
        )
    random = torch.Generator().manual_seed(seed)
    mine, theirs = (torch.randperm(n, generator=random)[:count] for n in (len(task), len(source_samples)))
    inputs, targets, truth = task.samples[mine], task.targets[mine], source_labels[theirs]
    own = _logits_of_source(work, source_samples[theirs])
    found = source_scores(work.program, work.source, "logits", inputs)
    wanted = _single_labels(work)
    distance, half = wasserstein(found, own), count // 2
    risks = _risks(own, truth)
    bound = float(risks.mean()) + 2 * math.sqrt(work.source.classes) * distance
    return AlignmentReport(
        samples=count,
        source_risk=float(risks.mean()),
        target_risk=None if wanted is None else float(_risks(found, wanted[targets]).mean()),
        w1=distance,
        w1_same=wasserstein(own[:half], own[half : 2 * half]),
        sliced_w1=sliced_wasserstein(found, own, seed=seed),
        bound=bound,
        vacuous=bound >= WORST,
        by_class=None if wanted is None else _by_class(found, targets, own, truth, wanted),
        gradients=_gradients(work, inputs, targets) if isinstance(work.source, WhiteBox) else None,
    )


def _single_labels(work: Pipeline) -> Tensor | None:
    """The source's label of each class (classes,), where each has exactly one."""
    reader = work.reader
    return reader.labels[:, 0] if isinstance(reader, LabelMap) and reader.labels.shape[1] == 1 else None


@torch.no_grad()
def _logits_of_source(work: Pipeline, samples: Tensor) -> Tensor:
    answers = torch.cat([work.source(piece) for piece in samples.split(16)])
    return in_domain(answers, work.source.answers, "logits")


def _risks(logits: Tensor, labels: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(logits.softmax(1) - F.one_hot(labels, logits.shape[1]), dim=1)
    return found


def _by_class(found: Tensor, targets: Tensor, own: Tensor, truth: Tensor, wanted: Tensor) -> float | None:
    """``sum_k p_k (risk of label s_k + W1(class k, label s_k) / 2)``, p_k the task's shares.

    Holds on these very samples, up to those that are left out where a class and its label have not equally many.
    """
    total = 0.0
    for k in targets.unique().tolist():
        here, there = found[targets == k], own[truth == wanted[k]]
        count = min(len(here), len(there))
        if count == 0:
            return None
        risk = float(_risks(there, truth[truth == wanted[k]]).mean())
        total += len(here) / len(found) * (risk + STEEPEST * wasserstein(here[:count], there[:count]))
    return total


def _gradients(work: Pipeline, samples: Tensor, targets: Tensor) -> float:
    """First norm of the mean gradient at the source's input over the mean of the first norms."""
    total, norms = None, 0.0
    for rows in torch.arange(len(samples)).split(16):
        read = work.program(numbers(samples[rows])).detach().requires_grad_()
        logits = work.reader(in_domain(work.source(read), work.source.answers, work.domain))
        F.cross_entropy(logits, targets[rows], reduction="sum").backward()
        assert read.grad is not None
        summed = read.grad.sum(0)
        total = summed if total is None else total + summed
        norms += float(read.grad.abs().sum())
    assert total is not None
    return float(total.abs().sum()) / norms if norms else 0.0
