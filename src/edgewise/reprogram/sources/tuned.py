"""A white box some of whose own parameters train with the program (Yen et al., Interspeech 2023; arXiv 2110.03894)."""

import copy
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, UsageError, unknown
from edgewise.core.surgery import digest
from edgewise.reprogram.base import Source
from edgewise.reprogram.sources.white_box import WhiteBox


class Tuned:
    """``source`` on a private copy of its module, in which the parameters below ``parts`` train.

    ``parts`` are beginnings of parameters' names, such as ("layer4", "head.bias").  Whoever else holds ``source`` finds
    it as it was, and so does `check_untouched` prove the copy but for those parameters.  The copy stays in eval mode: a
    norm's own statistics never move.  ``fingerprint`` is that of ``source``, before which the program was trained.

    Raises `UsageError` where a part is not there.
    """

    def __init__(self, source: WhiteBox, parts: Sequence[str]) -> None:
        self.source, self.module = source, copy.deepcopy(source.module)
        self.takes, self.classes, self.answers = source.takes, source.classes, source.answers
        named: dict[str, nn.Parameter] = dict(self.module.named_parameters())
        for part in parts:
            if not any(_below(name, part) for name in named):
                raise unknown("part of the source", part, _parts(named))
        self.trained: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in named.items() if any(_below(name, part) for part in parts)
        }
        for parameter in self.trained.values():
            parameter.requires_grad_()

    @property
    def fingerprint(self) -> str:
        """That of the source that was copied."""
        return self.source.fingerprint

    def __call__(self, samples: Tensor) -> Tensor:
        scores: Tensor = self.module(samples)
        return scores

    def check_untouched(self) -> None:
        """Raise `EdgewiseError` where the source, or anything of the copy that does not train, is not what it was."""
        self.source.check_untouched()
        if any(module.training for module in self.module.modules()):
            raise EdgewiseError("A part of the source is in training mode: its answers would change with the batch.")
        state = self.module.state_dict(keep_vars=True)
        rest = {name for name, tensor in state.items() if not any(tensor is own for own in self.trained.values())}
        before = self.source.module.state_dict()
        if digest({n: state[n] for n in rest}) != digest({n: before[n] for n in rest}):
            raise EdgewiseError("Weights of the source have changed that do not train: a program for it is void.")


def with_tuned_parts(source: Source, parts: Sequence[str]) -> Source:
    """``source`` itself where there are no ``parts``, else `Tuned`.  Raises `UsageError` for a black box."""
    if not parts:
        return source
    if not isinstance(source, WhiteBox):
        raise UsageError(
            f"Parts of the source are to train ({', '.join(parts)}), and this one only answers: its weights are not "
            "here. Leave tune empty."
        )
    return Tuned(source, parts)


def tuned_parameters(source: Source) -> dict[str, nn.Parameter]:
    """What trains of ``source``, by its name there; nothing where it is frozen."""
    return source.trained if isinstance(source, Tuned) else {}


def _below(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _parts(names: Iterable[str]) -> set[str]:
    """Every beginning of ``names`` that ends at a dot, and they themselves."""
    return {".".join(name.split(".")[:end]) for name in names for end in range(1, name.count(".") + 2)}
