"""A small network with sub-nets, and steps of training on it."""

import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import load
from edgewise.subnets import RELATIONS, SubNets, Unstructured


class Small(nn.Module):
    """Three convolutions with norms, 16 pixels to 2 classes, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.second, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.third, self.bn3 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.first(x)))
        x = F.relu(x + self.bn2(self.second(x)))
        return self.head(F.relu(self.bn3(self.third(x))).mean((2, 3)))


def sub_nets(densities, **settings):
    """With random masks of these densities."""
    net = SubNets(load(Small(), image_size=16), [Unstructured(density) for density in densities], **settings)
    for number, density in enumerate(densities):
        RELATIONS["nd"].start(net, 0) if number == 0 else None
        net.put(number, Unstructured(density, density).first(shapes(net), 0, number))
    return net


def shapes(net):
    return {name: tuple(weight.shape) for name, weight in net.weights().items()}


def passed(net, trainer, steps=1):
    """``steps`` of ``trainer``, each on a batch of its own; without one, a pass forward and backward."""
    for _ in range(steps):
        torch.manual_seed(1000 if trainer is None else 999 + trainer.steps)
        x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 2
        if trainer is None:
            F.cross_entropy(net(x), y).backward()
            return
        for turn in trainer.turns():
            net.use(turn)
            with trainer.during_backward({"main": 0.1}):
                F.cross_entropy(net(x), y).backward()
