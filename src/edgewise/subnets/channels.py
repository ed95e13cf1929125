"""Sub-nets of different widths: how many channels each space keeps, chosen by what leaving them out would cost.

Widths are not one multiplier for all layers.  A channel's score is how much the loss would change without it, to first
order (Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, Eq. 8, at the gate behind each
norm):

    score = mean over batches of (sum over the space's norms of g_weight weight + g_bias bias)^2

Blocks of ``step`` channels, the weakest of a space together, are left out one after the other: always the one with the
least score for each multiply-add it saves.  A smaller sub-net goes on from where the larger one stopped, so sub-nets
are nested. (The dissertation's group published such sub-nets, "ranked by sensitivity" in blocks of 4, 8 or 16; neither
gives a formula.)

A sub-net is named by the multiply-adds it is without: 25 % of them left is ``75%``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.subnets.base import name_of
from edgewise.subnets.channel_spaces import Layout
from edgewise.subnets.masks import Masks, Shapes, Weights

STEP = 8
Channels = Mapping[str, Tensor]
"""The channels that each space keeps, in ascending order (int64), by the space's name."""


def sensitivities(network: nn.Module, layout: Layout, losses: Iterable[Tensor]) -> dict[str, Tensor]:
    """The score of every channel (C,) of each space, from losses that ``network`` gave, one a batch.

    ``losses`` makes them while it is read.  Norms and convolutions must have gradients.  A space without norms is gated
    behind the layers that write it.
    """
    gates = {name: _gates(network, space.norms or space.makers) for name, space in layout.spaces.items()}
    parameters = [parameter for own in gates.values() for parameter in own]
    scores = {name: torch.zeros(space.channels) for name, space in layout.spaces.items()}
    batches = 0
    for loss in losses:
        batches += 1
        slopes = iter(torch.autograd.grad(loss, parameters, allow_unused=True))
        for name, own in gates.items():
            moved = [_of_each(parameter, next(slopes)) for parameter in own]
            scores[name] += torch.stack(moved).sum(0).square().cpu()
    if not batches:
        raise UsageError("Channels cannot be ranked without photos: give at least one batch.")
    return {name: score / batches for name, score in scores.items()}


def nested_channels(
    layout: Layout, scores: Mapping[str, Tensor], shares: Sequence[float], step: int = STEP
) -> list[dict[str, Tensor]]:
    """The channels of one sub-net for each of ``shares``, the multiply-adds to be left, from the largest share down.

    Each has at most its share, and less than one block above.  Raises `UsageError` where the shares are not in
    (0, 1] and falling, and where one cannot be reached with ``step`` channels left in every space.
    """
    if not all(0 < share <= 1 for share in shares) or any(one <= other for one, other in pairwise(shares)):
        raise UsageError(
            f"The densities {', '.join(f'{share:g}' for share in shares)} must be above 0, at most 1, and falling, "
            "such as 0.75,0.5,0.25."
        )
    order = {name: score.argsort(descending=True, stable=True) for name, score in scores.items()}
    widths = {name: space.channels for name, space in layout.spaces.items()}
    full, found = layout.macs(), []
    for share in shares:
        while layout.macs(widths) > share * full:
            weakest = _weakest(layout, scores, order, widths, step)
            if weakest is None:
                raise UsageError(
                    f"A sub-net with {share:g} of the multiply-adds cannot be made: with {step} channels left in "
                    f"everything that can be sliced it still has {layout.macs(widths) / full:.3g}. Ask for more, or "
                    "choose a smaller step."
                )
            widths[weakest] -= min(step, widths[weakest] - step)
        found.append({name: order[name][:width].sort().values for name, width in widths.items()})
    return found


@dataclass(frozen=True, eq=False)
class Narrow:
    """A sub-net of fewer channels, with ``share`` of the multiply-adds: a `base.Pattern` whose masks never change.

    Its masks are whole rows and columns, so training it is training `slicing.sliced`, and it can be sliced when it is
    done.
    """

    share: float
    layout: Layout
    channels: Channels

    @property
    def name(self) -> str:
        return name_of(self.share)

    def check(self, shapes: Shapes) -> None:
        readers = [name for name, layer in self.layout.layers.items() if layer.reads and name not in shapes]
        if readers:
            raise UsageError(
                f"Channels cannot be left out before {', '.join(readers)}, which has all its weights in every sub-net. "
                "Let it have masks, too: no dense head, and no layers of a kind of their own."
            )

    def first(self, shapes: Shapes, seed: int = 0, *place: int) -> Masks:
        return {name: self._mask(name, shape) for name, shape in shapes.items()}

    def pruned(self, weights: Weights, level: float) -> Masks:
        return self.first({name: weight.shape for name, weight in weights.items()})

    def exchanged(self, masks: Masks, weights: Weights, gradients: Weights, share: float) -> Masks:
        return masks

    def _mask(self, name: str, shape: Sequence[int]) -> Tensor:
        layer, mask = self.layout.layers[name], torch.zeros(tuple(shape), dtype=torch.bool)
        mask[self._kept(layer.writes, shape[0])[:, None], self._kept(layer.reads, shape[1])] = True
        return mask

    def _kept(self, space: str | None, size: int) -> Tensor:
        return torch.arange(size) if space is None else self.channels[space]


def _weakest(
    layout: Layout, scores: Mapping[str, Tensor], order: Mapping[str, Tensor], widths: Mapping[str, int], step: int
) -> str | None:
    """The space to take the next block from; None where every one is down to ``step`` channels."""
    now, prices = layout.cost(widths), {}
    for name, width in widths.items():
        block = min(step, width - step)
        if block > 0:
            lost = float(scores[name][order[name][width - block : width]].sum())
            prices[name] = lost / (now - layout.cost({**widths, name: width - block}))
    return min(prices, key=prices.__getitem__, default=None)


def _gates(network: nn.Module, names: Sequence[str]) -> list[nn.Parameter]:
    """Weights and biases that multiply and shift each channel."""
    layers = [network.get_submodule(name) for name in names]
    return [parameter for layer in layers for parameter in layer.parameters(recurse=False)]


def _of_each(parameter: Tensor, slope: Tensor | None) -> Tensor:
    """How much the loss would change, to first order, without what ``parameter`` gives each channel: (C,)."""
    moved = torch.zeros_like(parameter) if slope is None else slope * parameter.detach()
    return moved.detach().flatten(1).sum(1) if moved.ndim > 1 else moved.detach()
