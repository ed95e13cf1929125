"""What the recipes of compression share: CIFAR-10 as photos, and one compression as a run that is made once.

A run is ``edgewise compress``'s own job, from the networks' CIFAR-10 weights, on ``images`` photos of the official
training part, as many of every class.  Of the official test part 2,000 photos are the validation part here, which
chooses, and the other 8,000 are scored once, at the end, and never printed: the weights were trained on the lossless
versions of all training photos, and still know them, so no part of them could validate.

The rate falls along a cosine from 0.02, batches are of 128 (`edgewise.jobs.compress_request` has the rest).
"""

import csv
import io
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reprogram"))
from claims import claim as claim
from grid import newest
from runs import Numbers as Numbers
from runs import Run as Run
from runs import collected as collected
from runs import rows as rows
from tables import asked as asked
from tables import write as write

from edgewise.core.files import write_text
from edgewise.jobs.compress import Compression, CompressRequest, compress

VAL = 200  # photos a class, of the official test part
LR = 0.02
NUMBERS = ("test", "val", "group_sparsity", "overall_sparsity", "eq_2_8", "with_ends", "file")
NETWORKS = ("resnet20", "resnet32", "resnet56")  # ResNet-44 has no public CIFAR-10 weights


@dataclass(frozen=True)
class Budget:
    """Photos, and how often each is seen."""

    images: int
    epochs: int


FULL, QUICK = Budget(50_000, 10), Budget(2_000, 2)


def budget(quick: bool) -> Budget:
    return QUICK if quick else FULL


def chosen() -> dict[str, float]:
    """``lam`` and ``clip`` as the newest sweep chose them; where there is none, the defaults."""
    sweep = newest("compress_sweep")
    usual = Compression()
    return dict(sweep["chosen"]) if sweep else {"lam": usual.lam, "clip": usual.clip}


def arm(network: str, name: str, seeds: int, size: Budget, **settings: Any) -> list[Run]:
    """One run a seed of the arm called ``name`` in the rows; ``settings`` are fields of `Compression`."""
    own = {"network": network, **asdict(size), **settings}
    return [Run(compressed, network, name, seed, own) for seed in range(seeds)]


def compressed(
    shared: Path, state: Path, seed: int, network: str, images: int, epochs: int, **settings: Any
) -> Numbers:
    """One compression; what it reached, without its run folder's checkpoint."""
    data = photos(shared, state, images)
    words = "-".join(f"{key}={value}" for key, value in sorted(settings.items()))
    out = state / "compress" / f"{network}-{images}x{epochs}-{words}-{seed}"
    request = CompressRequest(
        str(data),
        network,
        weights=str(shared / "data" / "weights" / f"cifar10_{network}.safetensors"),
        compression=Compression(**settings),
        epochs=epochs,
        lr=LR,
        precision="bfloat16",
        workers=0,
        seed=seed,
    )
    record = compress(request, out, resume=out.exists())
    metrics, found = record["metrics"], record["compress"]
    return {
        "val": 100 * metrics["val_accuracy"],
        "test": 100 * metrics["test_accuracy"],
        **{key: 100 * found[key] for key in ("group_sparsity", "overall_sparsity")},
        **found["rates"],
        "file_bytes": found["bytes"]["file"],
        "dead": found["dead"],
        "layers": {layer["name"]: [layer["group_sparsity"], layer["alpha"]] for layer in found["layers"]},
        "history": [
            {key: row[key] for key in ("epoch", "train_loss", "penalty", "val_accuracy", "group_sparsity")}
            for row in record["history"]
        ],
    }


def done(runs: Sequence[Run], arguments: Namespace, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of ``runs``, those made that have not been."""
    photos(arguments.shared, arguments.state, budget(arguments.quick).images)  # here, so that no two runs unpack them
    return rows(collected(runs, arguments), *numbers)


def photos(shared: Path, state: Path, images: int) -> Path:
    """A table of ``images`` training photos and the two parts of the test photos; unpacked once."""
    folder = state / "images"
    table, whole = folder / f"cifar10-{images}.csv", folder / "cifar10_whole"
    if not (whole / "unpacked").exists():
        tool = shared / "tools" / "unpack.py"
        subprocess.run([sys.executable, str(tool), "cifar10", str(whole)], check=True, stdout=subprocess.DEVNULL)
        write_text(whole / "unpacked", "")
    if not table.exists():
        write_text(table, _table(whole, images))
    return table


def _table(whole: Path, images: int) -> str:
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(("path", "label", "split"))
    for folder in sorted((whole / "train").iterdir()):
        trained, tested = (sorted((whole / part / folder.name).iterdir()) for part in ("train", "test"))
        parts = {"train": trained[: images // 10], "val": tested[:VAL], "test": tested[VAL:]}
        for part, own in parts.items():
            lines.writerows((one.relative_to(whole.parent).as_posix(), folder.name, part) for one in own)
    return out.getvalue()


def tabled(
    script: str,
    arguments: Namespace,
    runs: Sequence[Run],
    settings: Mapping[str, Any],
    claims: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]],
) -> None:
    """Run what has not run yet, and write the rows with their claims."""
    table, size = done(runs, arguments, NUMBERS), budget(arguments.quick)
    write(script, arguments, {"budget": asdict(size), "settings": settings, "rows": table, "claims": claims(table)})


def by_place(table: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Rows by network and arm."""
    return {(row["task"], row["arm"]): row for row in table}


def gap(table: Sequence[Mapping[str, Any]], network: str, name: str, other: str, key: str = "test") -> dict[str, Any]:
    """Points of accuracy (``key``) that ``name`` is below ``other``, with what it reached; means over seeds."""
    places = by_place(table)
    row, beside = places[network, name], places[network, other]
    told = ("group_sparsity", "eq_2_8", "file")
    reached = {one: row.get(f"{one}_mean") for one in told}
    below = round(beside[f"{key}_mean"] - row[f"{key}_mean"], 2)
    return {"network": network, "arm": name, "beside": other, "below": below, **reached}
