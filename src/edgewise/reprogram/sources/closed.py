"""A model whose weights are here, asked as if they were not."""

from typing import Any

import torch
from numpy.typing import NDArray

from edgewise.reprogram.base import Answer
from edgewise.reprogram.sources.black_box import BlackBox, Samples, answers_of, samples_of
from edgewise.reprogram.sources.ledger import Ledger
from edgewise.reprogram.sources.white_box import WhiteBox


def of_white_box(source: WhiteBox, answers: Answer, ledger: Ledger, top: int = 5, name: str = "") -> BlackBox:
    """``source`` as its users would get it from an API: it tells ``answers``, and no gradient passes.

    ``answers`` is probs, top-k (the ``top`` likeliest classes) or label; ``name`` tells its answers from another
    model's in the same ledger.
    """

    @torch.no_grad()
    def ask(samples: Samples) -> NDArray[Any]:
        probabilities = source(samples_of(samples, source.takes)).softmax(1)
        return answers_of(probabilities.numpy(), answers, top)

    return BlackBox(ask, source.takes, source.classes, answers, ledger, name=name)
