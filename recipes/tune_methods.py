"""Every method's own learning rates and number of epochs, chosen on validation photos alone.

    python recipes/tune_methods.py --shared DIR --state DIR [--quick] [--list]

MobileNetV2 0.35, 128 px, batch 8, on hand signs and CIFAR-10 (100 a class); a fifth of every class of the training
part is the validation set (another fifth for another seed).  No test accuracy is looked at or printed.

1. The rates of every method that ``choose_defaults`` has not chosen: the candidates for 6 epochs, one seed; the best
   by the mean over both sets.  Adv. Rep needs a backbone with its ImageNet classifier: MobileNetV1 0.25.
2. With these rates (those five methods: with their defaults) 6 epochs against 12, two seeds; where both are equal, 6.

One choice a method, for all sets and widths.  The other recipes of the papers' tables read it (`arms.tuned`).
Not tuned: the weight of anything but learning rates, and Rep-Net's other connections, which take Rep-Net's rates.

Time: not yet run in full; ``--list`` estimates it.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arms import NARROW, NETWORKS, Arm
from estimate import listed
from grid import Job, mean_std, run_grid
from tables import asked, write

from edgewise.adapt import method_class

SETS = ("cifar10", "signdigits")
EPOCHS = (6, 12)
Candidate = Mapping[str, Any]


def _rates(*pairs: tuple[float, float], **settings: str) -> list[Candidate]:
    """Candidates of a head's rate and another, all with the same settings."""
    return [{"lr": head, "side_lr": side, "settings": settings} for head, side in pairs]


def _masks(side: float, *pairs: tuple[float, str]) -> list[Candidate]:
    """Candidates of a head's rate and a mask's."""
    return [{"lr": head, "side_lr": side, "settings": {"mask_lr": mask}} for head, mask in pairs]


BLOCKS = ((1e-3, 3e-4), (1e-3, 1e-3), (3e-3, 1e-3), (1e-3, 3e-3))
CANDIDATES: dict[str, tuple[str, Sequence[Candidate]]] = {  # name: method, what is tried
    "mobiletl": ("mobiletl", _rates(*BLOCKS)),
    "blocks": ("blocks", _rates(*BLOCKS)),
    "mobiletl+lite": ("mobiletl+lite", _rates(*BLOCKS)),
    "tinytl": ("tinytl", _rates((1e-3, 1e-3), (1e-3, 3e-3), (1e-3, 1e-2), (3e-3, 3e-3))),
    "mask": ("mask", _masks(1e-3, (1e-3, "1e-4"), (3e-3, "1e-4"), (3e-3, "3e-4"), (3e-3, "1e-3"))),
    "repnet+mask": ("repnet+mask", _masks(1e-2, (1e-3, "3e-5"), (1e-3, "1e-4"), (1e-3, "3e-4"), (1e-3, "1e-3"))),
    "input": ("input", _rates((1e-3, 1e-2), (3e-3, 1e-2), (3e-3, 3e-3), (3e-3, 3e-2))),
    "Adv. Rep": ("input", _rates((1e-3, 1e-2), (1e-3, 3e-2), (1e-3, 1e-1), head="map")),
    **{
        method: (method, _rates((method_class(method)().lr, method_class(method)().side_lr)))
        for method in ("last", "bias", "bn", "full", "repnet")
    },
}
ON = {"Adv. Rep": "MobileNetV1 0.25"}
QUICK = ("mobiletl", "input")

Measure = Callable[[Sequence[tuple[str, Candidate]], int, int], list[dict[str, Any]]]


def jobs(name: str, candidate: Candidate, epochs: int, seeds: int, sets: Sequence[str]) -> list[Job]:
    """The runs of a candidate."""
    method, network = CANDIDATES[name][0], NETWORKS[ON.get(name, NARROW)]
    return [
        Job(data, method=method, seed=seed, epochs=epochs, val_fraction=0.2, **network, **candidate)
        for data in sets
        for seed in range(seeds)
    ]


def choose(names: Sequence[str], measure: Measure, seeds: int) -> dict[str, Any]:
    """The two rounds; ``measure`` runs candidates, by name, for so many epochs and seeds, and adds ``mean_val``."""
    tried = measure([(name, one) for name in names for one in _several(name)], EPOCHS[0], 1)
    rates = {name: _best([one for one in tried if one["name"] == name]) or CANDIDATES[name][1][0] for name in names}
    lengths = [one for epochs in EPOCHS for one in measure(list(rates.items()), epochs, seeds)]
    epochs = {name: _best([one for one in lengths if one["name"] == name])["epochs"] for name in names}
    return {
        "rates": tried,
        "epochs": lengths,
        "chosen": {name: {**_bare(rates[name]), "epochs": epochs[name]} for name in names},
    }


def _several(name: str) -> Sequence[Candidate]:
    """The candidates, where there is something to choose."""
    candidates = CANDIDATES[name][1]
    return candidates if len(candidates) > 1 else ()


def _best(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of equals the first; empty where there is none."""
    return max(found, key=lambda one: one["mean_val"], default={})


def _bare(candidate: Candidate) -> dict[str, Any]:
    return {key: candidate[key] for key in ("lr", "side_lr", "settings")}


def _measure(arguments: argparse.Namespace, sets: Sequence[str]) -> Measure:
    def measure(candidates: Sequence[tuple[str, Candidate]], epochs: int, seeds: int) -> list[dict[str, Any]]:
        own = [jobs(name, _bare(one), epochs, seeds, sets) for name, one in candidates]
        rows = {row["key"]: row for row in run_grid([j for js in own for j in js], arguments.shared, arguments.state)}
        table = []
        for (name, one), runs in zip(candidates, own, strict=True):
            val = {data: mean_std([rows[job.key]["val"] for job in runs if job.data == data])[0] for data in sets}
            mean = round(sum(val.values()) / len(val), 4)
            table.append({"name": name, **_bare(one), "epochs": epochs, "seeds": seeds, "val": val, "mean_val": mean})
            print(table[-1], flush=True)
        return table

    return measure


def planned(names: Sequence[str], seeds: int, sets: Sequence[str]) -> list[Arm]:
    """About what will run: which rates run for longer is not known before."""
    every = [(name, one, EPOCHS[0], 1) for name in names for one in _several(name)]
    every += [(name, CANDIDATES[name][1][0], epochs, seeds) for name in names for epochs in EPOCHS]
    runs = {job.key: Arm(ON.get(name, NARROW), name, job) for name, *what in every for job in jobs(name, *what, sets)}
    return list(runs.values())


def main() -> None:
    arguments = asked(__doc__, seeds=2)
    names = QUICK if arguments.quick else tuple(CANDIDATES)
    sets = SETS[:1] if arguments.quick else SETS
    if arguments.list:
        listed(planned(names, arguments.seeds, sets), 1)
        return
    write(__file__, arguments, choose(names, _measure(arguments, sets), arguments.seeds))


if __name__ == "__main__":
    main()
