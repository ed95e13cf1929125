"""A growing cellular automaton (Mordvintsev et al., 2020), the digits it grows, and how they are read and drawn.

Sixteen channels on 16 x 16 cells: red, green, blue, how much of a cell there is, and twelve of its own.  Colours are
already weighted by the fourth.  Digits are MNIST's, 12 pixels high.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

CHANNELS, HIDDEN, SIDE, DIGIT, SHOWS = 16, 64, 16, 12, 4
BLUE, RED = (0.1, 0.3, 1.0), (1.0, 0.1, 0.1)


class Growing(nn.Module):
    """A step: every cell sees itself and the slopes about it, half of them move, and those far from any cell die.

    ``spread`` is the deviation of the last layer's first weights; the authors take 0, which moves nothing.
    """

    def __init__(self, spread: float = 0.0) -> None:
        super().__init__()
        one, slope = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([-1.0, 0.0, 1.0])
        wide = torch.tensor([1.0, 2.0, 1.0]) / 8
        looks = torch.stack([torch.outer(one, one), torch.outer(wide, slope), torch.outer(slope, wide)])
        self.register_buffer("looks", looks[:, None].repeat(CHANNELS, 1, 1, 1))
        self.first, self.last = nn.Conv2d(3 * CHANNELS, HIDDEN, 1), nn.Conv2d(HIDDEN, CHANNELS, 1, bias=False)
        nn.init.normal_(self.last.weight, std=spread)

    def forward(self, states: Tensor) -> Tensor:
        before = _alive(states)
        seen = F.conv2d(states, self.looks, padding=1, groups=CHANNELS)
        moves = torch.rand(len(states), 1, SIDE, SIDE) < 0.5
        states = states + self.last(self.first(seen).relu()) * moves
        return states * (before & _alive(states))


def _alive(states: Tensor) -> Tensor:
    return F.max_pool2d(states[:, 3:4], 3, 1, 1) > 0.1


def one_cell() -> Tensor:
    """The state that an automaton starts from."""
    seed = torch.zeros(CHANNELS, SIDE, SIDE)
    seed[3:, SIDE // 2, SIDE // 2] = 1
    return seed


def pattern(image: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """An MNIST digit (28, 28) from 0 to 1 as what an automaton shows (4, 16, 16)."""
    there = F.interpolate(image[None, None, 4:24, 4:24], (DIGIT, DIGIT), mode="area")[0, 0]
    there = F.pad(there, ((SIDE - DIGIT) // 2,) * 4)
    return torch.stack([*(part * there for part in colour), there])


def as_digits(shown: Tensor) -> Tensor:
    """What automata show (N, 4, 16, 16) as MNIST digits (N, 1, 28, 28) again."""
    edge = (SIDE - DIGIT) // 2
    there = shown[:, 3:, edge : SIDE - edge, edge : SIDE - edge].clamp(0, 1)
    return F.pad(F.interpolate(there, (20, 20), mode="bilinear"), (4, 4, 4, 4))


def strip(shown: Tensor, path: Path) -> None:
    """What is shown (N, 4, 16, 16), side by side on white."""
    colours = (1 - shown[:, 3:4] + shown[:, :3]).clamp(0, 1)
    whole = torch.cat(list(colours), 2).permute(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray((255 * whole).byte().numpy())
    image.resize((6 * image.width, 6 * image.height), Image.Resampling.NEAREST).save(path)
