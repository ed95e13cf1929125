"""What MKL and oneDNN borrow while a product or a convolution runs: the numbers behind `Geometry._dry`.

    python benchmarks/kernel_scratch.py

Starts itself again under the heap counter and prints, for some shapes of MobileNetV2 and ResNet, the
peak of the heap during the call beyond its result.  One thread; nothing is timed.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from edgewise.cost.heap import Heap, heap, preload, why_not
from edgewise.ops import Geometry

PRODUCTS = ((12544, 16, 96), (3136, 144, 24), (196, 576, 96), (49, 160, 960), (392, 320, 1280), (392, 1280, 320))
# images, channels, filters, side, kernel, stride, groups
CONVOLUTIONS = (
    (1, 3, 32, 224, 3, 2, 1),
    (8, 24, 24, 28, 5, 1, 2),
    (8, 96, 96, 7, 5, 1, 2),
    (8, 64, 64, 32, 3, 1, 1),
    (1, 512, 512, 7, 3, 1, 1),
)


def borrowed(counter: Heap, work: Callable[[], Tensor]) -> str:
    """MB beyond the result, in the third call (the first ones build what is kept)."""
    work()
    work()
    before = counter.live()
    counter.reset()
    result = work()
    return f"{(counter.peak() - before - result.numel() * result.element_size()) / 1e6:8.2f}"


def main() -> None:
    counter = heap()
    if counter is None:
        extra = preload()
        if extra is None:
            raise SystemExit(f"Nothing can be counted here: {why_not()}.")
        subprocess.run([sys.executable, __file__], env={**os.environ, **extra, "MKL_DISABLE_FAST_MM": "1"}, check=True)
        return
    torch.set_num_threads(1)
    print(f"{'product':<28}{'weight':>8}{'borrowed':>9}  MB")
    for rows, inputs, outputs in PRODUCTS:
        x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
        taken = borrowed(counter, lambda x=x, weight=weight: torch.mm(x, weight.t()))
        print(f"{rows} x {inputs} x {outputs:<16}{weight.numel() * 4 / 1e6:8.2f} {taken}")
    print(f"\n{'convolution':<28}{'weight':>8}{'forward':>9}{'weight gradient':>17}  MB")
    for images, inputs, outputs, side, kernel, stride, groups in CONVOLUTIONS:
        x = torch.randn(images, inputs, side, side).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(outputs, inputs // groups, kernel, kernel).contiguous(memory_format=torch.channels_last)
        pad = kernel // 2
        geometry = Geometry((stride, stride), (pad, pad, pad, pad), (1, 1), groups)
        maps = x.permute(0, 2, 3, 1)
        grad = torch.randn_like(geometry.apply(maps, weight))

        def forward(g: Geometry = geometry, maps: Tensor = maps, weight: Tensor = weight) -> Tensor:
            return g.apply(maps, weight)

        def to_weight(
            g: Geometry = geometry, grad: Tensor = grad, maps: Tensor = maps, weight: Tensor = weight
        ) -> Tensor:
            return g.weight_gradient(grad, maps, weight)

        name = f"{images} x {inputs} x {side}², {outputs} of {kernel}²/{groups}"
        print(
            f"{name:<28}{weight.numel() * 4 / 1e6:8.2f} {borrowed(counter, forward)}{borrowed(counter, to_weight):>17}"
        )


if __name__ == "__main__":
    main()
