"""What the recipes of sub-nets share: CIFAR-10 as photos, and one training as a run that is made once.

A run is ``edgewise subnets``' own job from random weights: ResNet-20 in place of the dissertation's Wide ResNet-32,
``images`` photos of the official training part (as many of every class), the last 50 photos of every class of that
part for validation, and all 10,000 test photos (fewer with ``--quick``) scored once, at the end, and never printed.
Rate 0.1 along a cosine, batches of 128, decay 5e-4; steps in bfloat16, which take half the time here.

Training costs are counted in multiply-adds: ``macs`` with all weights, as masks only make zeros, and
``macs_without_zeros``, as the dissertation counts them.
"""

import csv
import io
import math
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compress"))
from trials import Budget as Budget
from trials import Numbers as Numbers
from trials import Run as Run
from trials import asked as asked
from trials import claim as claim
from trials import collected as collected
from trials import photos, rows
from trials import write as write

from edgewise.core.files import write_text
from edgewise.jobs.subnets import SubNetSettings, SubNetsRequest, subnets

VAL = 50  # photos a class, of the training part
FULL, QUICK = Budget(5_000, 30), Budget(1_000, 3)
DENSITIES = (0.1, 0.05, 0.02)
NETWORK = "resnet20"


def budget(quick: bool) -> Budget:
    return QUICK if quick else FULL


def arm(name: str, seeds: int, size: Budget, effort: float = 1.0, **settings: Any) -> list[Run]:
    """One run a seed of the arm called ``name`` in the rows, ``effort`` times as many epochs; ``settings`` are fields
    of `SubNetSettings`."""
    own = {"images": size.images, "epochs": max(1, round(effort * size.epochs)), "network": NETWORK, **settings}
    return [Run(trained, NETWORK, name, seed, own) for seed in range(seeds)]


def trained(shared: Path, state: Path, seed: int, images: int, epochs: int, network: str, **settings: Any) -> Numbers:
    """One training; what every sub-net reached, without the run folder's checkpoint."""
    words = "-".join(f"{key}={value}" for key, value in sorted(settings.items())).replace(" ", "")
    out = state / "subnets" / f"{network}-{images}x{epochs}-{words}-{seed}"
    chosen = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    request = SubNetsRequest(
        str(table(shared, state, images)),
        network,
        weights="none",
        subnets=SubNetSettings(**chosen),
        epochs=epochs,
        precision="bfloat16",
        workers=0,
        seed=seed,
    )
    record = subnets(request, out, resume=out.exists())
    found = record["subnets"]
    return {
        **{f"test {name}": 100 * accuracy for name, accuracy in found["accuracy"].items()},
        **{f"val {name}": 100 * accuracy for name, accuracy in found["val_accuracy"].items()},
        "macs": found["training_macs"]["all"],
        "macs_without_zeros": found["training_macs"]["without_zeros"],
        "train_seconds": sum(row["seconds"] for row in record["history"]),
        "densities": found["densities"],
        "negative_products": found["negative_products"],
        "layers": found["layers"],
        "non_overlap": found["non_overlap"],
        "bytes": found["bytes"],
    }


def table(shared: Path, state: Path, images: int) -> Path:
    """A table of ``images`` training photos, the validation photos and the test part."""
    photos(shared, state, images)  # unpacks them, once
    found = state / "images" / f"cifar10-subnets-{images}.csv"
    if not found.exists():
        write_text(found, listed(state / "images" / "cifar10_whole", images))
    return found


def listed(whole: Path, images: int) -> str:
    """The table's text; raises `ValueError` where training and validation photos would meet."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(("path", "label", "split"))
    for folder in sorted((whole / "train").iterdir()):
        own, tested = (sorted((whole / part / folder.name).iterdir()) for part in ("train", "test"))
        if images // 10 > len(own) - VAL:
            raise ValueError(f"{images} training photos leave none to validate on")
        parts = {"train": own[: images // 10], "val": own[-VAL:], "test": tested[: images // 5]}
        for part, paths in parts.items():
            lines.writerows((one.relative_to(whole.parent).as_posix(), folder.name, part) for one in paths)
    return out.getvalue()


def done(runs: Sequence[Run], arguments: Namespace) -> list[dict[str, Any]]:
    """What every run of ``runs`` gave, those made that have not been."""
    table(arguments.shared, arguments.state, budget(arguments.quick).images)  # here, so that no two runs unpack them
    return collected(runs, arguments)


def table_of(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm: accuracies of its sub-nets and costs, over seeds."""
    names = dict.fromkeys(key for one in found for key in one if key.startswith(("test ", "val ")))
    return rows(found, *names, "macs", "macs_without_zeros", "train_seconds")


def tabled(
    script: str,
    arguments: Namespace,
    runs: Sequence[Run],
    claims: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]],
) -> None:
    """Run what has not run yet, and write the rows with their claims."""
    found = table_of(done(runs, arguments))
    write(script, arguments, {"budget": asdict(budget(arguments.quick)), "rows": found, "claims": claims(found)})


def at_least(table: Sequence[Mapping[str, Any]], one: str, other: str, text: str) -> dict[str, Any]:
    """``one`` is at least as accurate as ``other`` in every sub-net that both have, within one standard error of the
    difference of their means."""
    rows_of = {row["arm"]: row for row in table}
    places = []
    if {one, other} <= rows_of.keys():
        first, second = rows_of[one], rows_of[other]
        for key in (key for key in first if key.startswith("test ") and key.endswith("_mean") and key in second):
            name = key.removeprefix("test ").removesuffix("_mean")
            error = standard_error(first, name, second, name)
            difference = first[key] - second[key]
            places.append(
                {
                    "sub_net": name,
                    "difference": round(difference, 2),
                    "standard_error": round(error, 2),
                    "holds": difference >= -error,
                }
            )
    return claim(text, places)


def standard_error(one: Mapping[str, Any], name: str, other: Mapping[str, Any], other_name: str) -> float:
    """Of the difference of two means over seeds; 0 for a single seed."""
    parts = ((row[f"test {own}_std"] or 0.0, row["seeds"]) for row, own in ((one, name), (other, other_name)))
    return math.sqrt(sum(std**2 / seeds for std, seeds in parts))


def by_arm(found: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """The runs of an arm."""
    return [one for one in found if one["arm"] == name]
