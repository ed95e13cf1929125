"""The dissertation's Table 11 in ImageNet's layout: ResNet-50, 80 and 90 % sparse, alternating with correction.

    python recipes/subnets/table11.py --data IMAGENET --state DIR [--seeds N]
    python recipes/subnets/table11.py --quick --state DIR

``IMAGENET`` holds ``train/CLASS/…`` and ``val/CLASS/…``.  The head is dense, as in the released script; batches of
256, decay 1e-4, label smoothing 0.1, masks every 4,000 steps of all (2,000 of a sub-net) with an offset of 400, pruning
until 30 % of the run.  The dissertation says 100 epochs and a cosine with 5 epochs of warm-up, its script 150 and
steps; here 100 and a cosine without warm-up.  With ``--quick`` a small network on a miniature in that layout, drawn by
the recipe of compression: it shows that the recipe runs, and its numbers mean nothing.

Expected (dissertation, from 50 %): AST 72.6 and 72.3, AST+GC 73.2 and 73.1, joint 71.9 and 65.0.
Time: not run in full here, where there is neither ImageNet nor a GPU; --quick under a minute.
"""

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from sparse import Numbers, Run, at_least, collected, table_of, write

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compress"))
from imagenet import miniature

from edgewise.jobs.subnets import SubNetSettings, SubNetsRequest, subnets


@dataclass(frozen=True)
class Size:
    """Of a run: a network of the library, its input, and the settings that go with the photos' number."""

    network: str
    pixels: int
    epochs: int
    batch: int
    every: int | None
    offset: int | None


FULL = Size("resnet50", 224, 100, 256, 2000, 400)
QUICK = Size("resnet20", 32, 2, 6, None, None)
ARMS = {
    "AST+GC, 50 %": {"gc": True, "start": 0.5},
    "AST, 50 %": {"gc": False, "start": 0.5},
    "AST+GC, 80 %": {"gc": True, "start": 0.2},
}


def trained(data: Path, state: Path, seed: int, network: str, pixels: int, epochs: int, batch: int, **own) -> Numbers:
    """One training; what every sub-net reached."""
    words = "-".join(f"{key}={value}" for key, value in sorted(own.items()))
    out = state / "subnets" / f"{network}-{epochs}-{words}-{seed}"
    request = SubNetsRequest(
        str(data),
        network,
        weights="none",
        subnets=SubNetSettings(
            **{"densities": (0.2, 0.1), **own}, dense_head=True, prune_until=0.3 if epochs > 10 else 0.7
        ),
        epochs=epochs,
        batch_size=batch,
        image_size=pixels,
        weight_decay=1e-4,
        label_smoothing=0.1,
        pad=0,
        crop_scale=0.08,
        workers=0 if epochs < 10 else None,
        seed=seed,
    )
    found = subnets(request, out, resume=out.exists())["subnets"]
    return {
        **{f"test {name}": 100 * accuracy for name, accuracy in found["accuracy"].items()},
        "macs": found["training_macs"]["all"],
        "macs_without_zeros": found["training_macs"]["without_zeros"],
        "negative_products": found["negative_products"],
    }


def claims(table):
    return [at_least(table, "AST+GC, 50 %", "AST, 50 %", "from 50 %: AST+GC at least AST")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="ImageNet: train/CLASS/ and val/CLASS/")
    parser.add_argument("--state", type=Path, required=True, help="where finished runs are kept")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every arm")
    parser.add_argument("--quick", action="store_true", help="one seed and two epochs on a miniature")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.data = 1, miniature(arguments.state / "miniature")
    elif arguments.data is None:
        parser.error("name --data, or run --quick")
    arguments.shared, size = arguments.data, QUICK if arguments.quick else FULL
    names = list(ARMS)[:2] if arguments.quick else list(ARMS)
    runs = [
        Run(trained, size.network, name, seed, {**asdict(size), **ARMS[name]})
        for name in names
        for seed in range(arguments.seeds)
    ]
    table = table_of(collected(runs, arguments, 1))
    write(__file__, arguments, {"size": asdict(size), "rows": table, "claims": claims(table)})


if __name__ == "__main__":
    main()
