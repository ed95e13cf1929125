"""Which engine makes a sub-net fast, and from which density on: sparse convolutions, sliced channels, or neither.

    python benchmarks/subnets_engines.py [--rounds 15] [--threads 1] [--quick] [--write]

Three tables, each of one run in which the contenders take turns; medians, and ratios of medians.

1. Layers: the sparse convolution at several densities against torch's dense one, on the map as it comes or with
   channels last, whichever is faster.  The break-even density is where the two cost the same, interpolated.
2. Networks with one density in all convolutions but the first: as `edgewise.subnets.engines` prepares them, against the
   same in plain torch, which multiplies the zeros, and, the stricter peer, that with norms folded, and channels last
   where that is faster.
3. MobileNetV2 at 224 px, and ResNet-20, of fewer channels, sliced: time and multiply-adds against full width.  Widths
   follow the sensitivity of random weights to noise; with ``--weights FILE`` that of a trained MobileNetV2.

Values do not matter for time: photos and weights are noise.  Prints the tables; ``--write`` adds
``benchmarks/results/subnets_engines_DATE.json``.
"""

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.backbones import load
from edgewise.core.files import add_result
from edgewise.native import pack, sparse_conv2d, sparse_why_not
from edgewise.subnets.channel_spaces import layout_of
from edgewise.subnets.channels import nested_channels, sensitivities
from edgewise.subnets.engines import prepared
from edgewise.subnets.slicing import sliced

HERE = Path(__file__).parent
DENSITIES = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
LAYERS = (  # name, photos, input channels, side, filters, kernel, stride
    ("ResNet-20 stage 1", 1, 16, 32, 16, 3, 1),
    ("WRN-32 stage 1", 1, 32, 32, 32, 3, 1),
    ("WRN-32 stage 2", 1, 64, 16, 64, 3, 1),
    ("WRN-32 stage 3", 1, 128, 8, 128, 3, 1),
    ("WRN-32 stage 3, 8 photos", 8, 128, 8, 128, 3, 1),
    ("WRN-32, stride 2", 1, 64, 16, 128, 3, 2),
    ("ResNet-50 3x3 at 56", 1, 64, 56, 64, 3, 1),
    ("ResNet-50 1x1 at 14", 1, 1024, 14, 256, 1, 1),
    ("ResNet-50 3x3 at 7", 1, 512, 7, 512, 3, 1),
    ("MobileNetV2 expand at 28", 1, 32, 28, 192, 1, 1),
    ("MobileNetV2 project at 14", 1, 576, 14, 96, 1, 1),
    ("MobileNetV2 last at 7", 1, 320, 7, 1280, 1, 1),
)
NETWORKS = (("resnet20", 32, 1), ("wrn32", 32, 1), ("wrn32", 32, 8), ("resnet50", 224, 1), ("mobilenet_v2", 224, 1))
SHARES = (1.0, 0.75, 0.5, 0.35, 0.25)
WITHIN = 0.25

Contenders = dict[str, Callable[[], Any]]


@torch.inference_mode()
def medians(contenders: Contenders, rounds: int) -> dict[str, float]:
    """Milliseconds of each, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(rounds):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            taken[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in taken.items()}


def break_even(ratios: Sequence[tuple[float, float]]) -> float | None:
    """The density at which dense over sparse is 1, on lines between (density, ratio); None where it is nowhere."""
    for (more, slow), (less, fast) in pairwise(ratios):
        if slow < 1 <= fast:
            part = math.log(1 / slow) / math.log(fast / slow)
            return math.exp(math.log(more) + part * (math.log(less) - math.log(more)))
    return ratios[0][0] if ratios[0][1] >= 1 else None


def layer_row(layer: tuple[str, int, int, int, int, int, int], rounds: int) -> dict[str, Any]:
    name, photos, channels, side, filters, kernel, stride = layer
    x, weight = torch.randn(photos, channels, side, side), torch.randn(filters, channels, kernel, kernel)
    last, weight_last = (one.contiguous(memory_format=torch.channels_last) for one in (x, weight))
    pad = kernel // 2
    runs: Contenders = {
        "dense": lambda: F.conv2d(x, weight, None, stride, pad),
        "dense, channels last": lambda: F.conv2d(last, weight_last, None, stride, pad),
    }
    for density in DENSITIES:
        packed = pack(weight * (torch.rand_like(weight) < density))
        runs[f"{density:g}"] = lambda packed=packed: sparse_conv2d(x, packed, None, stride=stride, padding=(pad,) * 4)
    ms = medians(runs, rounds)
    dense = min(ms["dense"], ms["dense, channels last"])
    ratios = [(density, dense / ms[f"{density:g}"]) for density in DENSITIES]
    return {"layer": name, "shape": layer[1:], "ms": ms, "faster": dict(ratios), "break_even": break_even(ratios)}


def at_density(network: nn.Module, density: float) -> nn.Module:
    """Every convolution of one group with so many of its weights left, but the first."""
    with torch.no_grad():
        for layer in list(network.modules()):
            if isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.in_channels > 3:
                layer.weight *= torch.rand_like(layer.weight) < density
    return network.eval()


def network_row(name: str, size: int, photos: int, density: float, rounds: int) -> dict[str, Any]:
    network, x = load(name, weights="none").module.eval(), torch.randn(photos, 3, size, size)
    folded, _ = prepared(network, x)  # before there are zeros: norms and the order of channels
    fast, choices = prepared(at_density(network, density), x)
    ms = medians({"plain": lambda: network(x), "folded": lambda: folded(x), "prepared": lambda: fast(x)}, rounds)
    engines = [choice.engine for choice in choices]
    return {
        "network": name,
        "size": size,
        "photos": photos,
        "density": density,
        "ms": ms,
        "faster": {peer: ms[peer] / ms["prepared"] for peer in ("plain", "folded")},
        "layers": {engine: engines.count(engine) for engine in sorted(set(engines))},
    }


def channel_rows(name: str, size: int, step: int, weights: str, rounds: int) -> list[dict[str, Any]]:
    network = load(name, weights=weights).module.eval()
    layout = layout_of(network, size)
    scores = sensitivities(network, layout, (_loss(network, size, number) for number in range(2)))
    found = nested_channels(layout, scores, SHARES, step)
    small = [sliced(network, layout, channels).eval() for channels in found]
    x = torch.randn(1, 3, size, size)
    folded = [prepared(one, x)[0] for one in small]
    runs: Contenders = {f"plain {share}": lambda one=one: one(x) for share, one in zip(SHARES, small, strict=True)}
    runs |= {f"folded {share}": lambda one=one: one(x) for share, one in zip(SHARES, folded, strict=True)}
    ms, rows = medians(runs, rounds), []
    for share, channels in zip(SHARES, found, strict=True):
        macs = layout.macs({space: len(kept) for space, kept in channels.items()}) / layout.macs()
        taken = {way: ms[f"{way} {share}"] for way in ("plain", "folded")}
        time = {way: one / ms[f"{way} {SHARES[0]}"] for way, one in taken.items()}
        rows.append({"network": name, "size": size, "share": share, "macs": macs, "ms": taken, "time": time})
    return rows


def _loss(network: nn.Module, size: int, number: int) -> Tensor:
    noise = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(number))
    return F.cross_entropy(network(noise), torch.tensor([0, 1]))


def claims(rows: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """Of MobileNetV2, in plain torch and with norms folded: time falls, and is near the ratio of multiply-adds.

    The issue's "within 25 %" as a share of the ratio, and in points of it.
    """
    own, held = [row for row in rows if row["network"] == "mobilenet_v2"], {}
    for way in ("plain", "folded"):
        held[f"{way}: time falls with every sub-net"] = all(a["ms"][way] > b["ms"][way] for a, b in pairwise(own))
        held[f"{way}: time within 25 % of the multiply-adds"] = all(
            abs(row["time"][way] / row["macs"] - 1) <= WITHIN for row in own
        )
        held[f"{way}: time within 25 points of the multiply-adds"] = all(
            abs(row["time"][way] - row["macs"]) <= WITHIN for row in own
        )
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", default="none", help="of MobileNetV2, for its channels")
    parser.add_argument("--quick", action="store_true", help="three layers, one network, ResNet-20's channels")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if (why_not := sparse_why_not()) is not None:
        raise SystemExit(f"There is nothing to measure: the sparse kernel is not compiled ({why_not}).")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    layers = []
    for layer in LAYERS[: 3 if arguments.quick else None]:
        layers.append(row := layer_row(layer, arguments.rounds))
        even = "none" if row["break_even"] is None else f"{row['break_even']:.2f}"
        times = "  ".join(f"{density:g}: {faster:.2f}x" for density, faster in row["faster"].items())
        print(f"{row['layer']:<28} break-even {even:>5}   {times}", flush=True)
    networks = []
    for name, size, photos in NETWORKS[: 1 if arguments.quick else None]:
        for density in (0.1, 0.05, 0.02):
            networks.append(row := network_row(name, size, photos, density, arguments.rounds))
            print(
                f"{name}@{size}, {photos} photos, {density:4.0%}: {row['ms']['prepared']:7.2f} ms, "
                f"{row['faster']['plain']:.2f}x plain, {row['faster']['folded']:.2f}x folded, {row['layers']}",
                flush=True,
            )
    sets = (("resnet20", 32, 4, "none"), ("mobilenet_v2", 224, 8, arguments.weights))
    channels = [row for one in sets[: 1 if arguments.quick else None] for row in channel_rows(*one, arguments.rounds)]
    for row in channels:
        told = ", ".join(f"{row['ms'][way]:.2f} ms {way} ({row['time'][way]:.2f} of full)" for way in row["ms"])
        print(f"{row['network']}@{row['size']}, {row['macs']:.2f} of the MACs: {told}")
    held = {} if arguments.quick else claims(channels)
    for text, holds in held.items():
        print(f"{text}: {'holds' if holds else 'DOES NOT HOLD'}")
    if arguments.write:
        environment = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
        result = {
            "benchmark": "benchmarks/subnets_engines.py",
            "settings": vars(arguments),
            "environment": environment,
            "layers": layers,
            "networks": networks,
            "channels": channels,
            "claims": held,
        }
        print(add_result(HERE / "results", "subnets_engines", result))


if __name__ == "__main__":
    main()
