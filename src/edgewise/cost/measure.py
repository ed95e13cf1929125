"""The cost of one training step, with the words of ``docs/interfaces.md``."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.units import megabytes
from edgewise.cost.kept import KeptBytes
from edgewise.cost.macs import macs_forward
from edgewise.cost.published import published
from edgewise.layers.normalise import Normalise


@dataclass(frozen=True)
class Cost:
    """One training step.  MB is 10^6 bytes; None is "not measured".

    ``kept_mb``: bytes autograd holds between forward and backward, without parameters, buffers
    and the input.  ``published_mb``: the papers' accounting (`edgewise.cost.published`).
    ``measured_rss_mb``: highest resident size of a fresh process over its size
    after import.  ``step_ms``: median wall time of forward, backward and gradients.
    """

    trainable_params: int
    kept_mb: float | None = None
    step_ms: float | None = None
    macs_forward: int | None = None
    macs_backward: int | None = None
    published_mb: float | None = None
    predicted_mb: float | None = None
    measured_peak_mb: float | None = None
    measured_rss_mb: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [("trainable parameters", f"{self.trainable_params:,}")]
        if self.kept_mb is not None:
            rows.append(("kept for backward", megabytes(1e6 * self.kept_mb)))
        if self.step_ms is not None:
            rows.append(("one step", f"{self.step_ms:.0f} ms"))
        if self.macs_forward is not None:
            rows.append(("forward, one image", f"{self.macs_forward / 1e6:.1f} M MACs"))
        return "\n".join(f"{name:<22}{value:>14}" for name, value in rows)


def cost(model: nn.Module, batch: tuple[int, int, int, int], repeats: int = 3) -> Cost:
    """Measure a step of ``model`` on grey images of shape ``batch`` (N, 3, H, W).

    The model comes back as it was: parameters, buffers, gradients and the random state.
    """
    with _untouched(model):
        images = _grey(model, batch)
        kept, times = 0, []
        for _ in range(repeats):
            began = time.perf_counter()
            with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
                logits = model(images)
                loss = F.cross_entropy(logits, torch.zeros(batch[0], dtype=torch.long))
            kept = counter.total
            loss.backward()
            times.append(time.perf_counter() - began)
            del logits, loss  # a step's worth of memory that the next one would find taken
        return Cost(
            published_mb=round(published(model, batch).total / 1e6, 2),
            trainable_params=sum(p.numel() for p in model.parameters() if p.requires_grad),
            kept_mb=round(kept / 1e6, 3),
            step_ms=round(1e3 * statistics.median(times), 2),
            macs_forward=macs_forward(model, batch[1:]),
        )


def _drop(parameter: Tensor) -> None:
    parameter.grad = None


def _grey(model: nn.Module, batch: tuple[int, int, int, int]) -> Tensor:
    """Photos as training gives them: bytes, where the model normalises them itself."""
    own = any(isinstance(module, Normalise) for module in model.modules())
    images = torch.empty(batch, dtype=torch.uint8 if own else torch.float32, memory_format=torch.channels_last)
    return images.fill_(128 if own else 0.5)


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    gradients = {name: p.grad for name, p in model.named_parameters()}
    # as in training, where the optimizer takes each gradient as soon as it is complete
    handles = [p.register_post_accumulate_grad_hook(_drop) for p in model.parameters() if p.requires_grad]
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
            for name, p in model.named_parameters():
                p.grad = gradients[name]
