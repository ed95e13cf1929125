"""The three parts in a row: what a reprogrammed model computes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgewise.reprogram.base import Domain, Program, Reader, Source, in_domain
from edgewise.reprogram.sources.tuned import tuned_parameters
from edgewise.reprogram.space import numbers

AT_ONCE = 64
Report = Callable[[int, int], None]


def _nobody(done: int, total: int) -> None: ...


@dataclass
class Pipeline:
    """``reader(source(program(x)))``; ``domain`` is what the reader reads.

    The program and the reader are modules of ours and may be in training mode; the source never is, not even where
    parts of it train.
    """

    program: Program
    source: Source
    reader: Reader
    domain: Domain

    def __call__(self, samples: Tensor) -> Tensor:
        """Logits (N, classes) of the task."""
        return self.reader(scores(self.program, self.source, self.domain, samples))

    def modules(self) -> dict[str, nn.Module]:
        """What is trained or fitted, by name."""
        return {
            name: part
            for name, part in (("program", self.program), ("reader", self.reader))
            if isinstance(part, nn.Module)
        }

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What trains, by name."""
        own = [(f"{name}.{p}", value) for name, part in self.modules().items() for p, value in part.named_parameters()]
        return own + [(f"source.{name}", value) for name, value in tuned_parameters(self.source).items()]

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training and fitting change, live, by name."""
        own = {
            f"{name}.{key}": value for name, part in self.modules().items() for key, value in part.state_dict().items()
        }
        return own | {f"source.{name}": value.detach() for name, value in tuned_parameters(self.source).items()}


def scores(program: Program, source: Source, domain: Domain, samples: Tensor) -> Tensor:
    """The source's scores (N, source's classes) of transformed samples, in ``domain``."""
    return in_domain(source(program(numbers(samples))), source.answers, domain)


@torch.no_grad()
def in_pieces(work: Pipeline, samples: Tensor) -> Tensor:
    """Class probabilities (N, classes) in eval mode, a few samples at a time."""
    for part in work.modules().values():
        part.eval()
    return torch.cat([work(samples[i : i + AT_ONCE]).softmax(1) for i in range(0, len(samples), AT_ONCE)])


@torch.no_grad()
def source_scores(
    program: Program, source: Source, domain: Domain, samples: Tensor, report: Report = _nobody
) -> Tensor:
    """`scores` of many samples, a few at a time, with the program in eval mode; ``report`` is told (done, of)."""
    assert isinstance(program, nn.Module)
    program.eval()
    found = []
    for start in range(0, len(samples), AT_ONCE):
        found.append(scores(program, source, domain, samples[start : start + AT_ONCE]))
        report(min(start + AT_ONCE, len(samples)), len(samples))
    return torch.cat(found) if found else torch.empty(0, source.classes)
