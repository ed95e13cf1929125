"""The dissertation's Table 12: four N:M sub-nets in one network against four trained alone, and their times.

    python recipes/subnets/table12.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 (`sparse`) in place of ResNet-18, with 2:4, 1:4, 1:8 and 1:16 in NVIDIA's notation (the table's
2:4, 3:4, 7:8 and 15:16): alternating with gradient correction, beside SR-STE once for each.  Times are those of a
processor, a photo at a time on one thread, by the engines that `edgewise.subnets.engines` chooses: no GPU runs a
convolution of this size in a 2:4 pattern, and the table's speeds up to 2.22 cannot come from 2:4 alone
(`edgewise.subnets.nm`).

Expected (dissertation): 94.63, 94.26, 94.31 and 93.79 against SR-STE's 94.89, 94.47, 94.25 and 93.92, at 1/3.95 of the
cost.  Claimed here: AST+GC is within one standard error of SR-STE for every pattern; it costs at most 0.3 of the four.
Time: estimated, 15 runs, about 7 minutes each on one core: 1.8 core-hours.
"""

from dataclasses import asdict

import torch
from sparse import NETWORK, VAL, arm, asked, budget, claim, done, standard_error, table_of, write
from torch import nn

from edgewise.backbones import load
from edgewise.subnets.engines import prepared, took
from edgewise.subnets.nm import NM, TABLE_12, nm_mask

DEAREST = 0.3  # of four runs


def claims(table):
    found = {row["arm"]: row for row in table}
    alone = {pattern: found.get(f"SR-STE {pattern}") for pattern in TABLE_12}
    if "AST+GC" not in found or not all(alone.values()):
        return []
    places, together = [], found["AST+GC"]
    for pattern, row in alone.items():
        name = pattern.name
        difference = together[f"test {name}_mean"] - row[f"test {name}_mean"]
        error = standard_error(together, name, row, name)
        places.append({"pattern": str(pattern), "difference": round(difference, 2), "holds": difference >= -error})
    cost = together["macs_mean"] / sum(row["macs_mean"] for row in alone.values())
    return [
        claim("AST+GC at least SR-STE, or within one standard error", places),
        claim(f"AST+GC costs at most {DEAREST:g} of four runs", [{"cost": round(cost, 3), "holds": cost <= DEAREST}]),
    ]


def timed(pattern: NM | None, rounds: int) -> dict:
    """Milliseconds a photo of a network in ``pattern``: as it is prepared, and in plain torch; values do not matter."""
    backbone = load(NETWORK, weights="none")
    network, photo = backbone.module.eval(), torch.randn(1, 3, backbone.input.size, backbone.input.size)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.shape[1] > 3 and pattern is not None:
                layer.weight *= nm_mask(layer.weight, pattern)
    fast, choices = prepared(network, photo)
    ms, plain_ms = took(lambda: fast(photo), lambda: network(photo), rounds=rounds)
    engines = {engine: sum(choice.engine == engine for choice in choices) for engine in ("sparse", "2:4", "dense")}
    return {"pattern": str(pattern or "dense"), "ms": ms, "plain_ms": plain_ms, "layers": engines}


def main() -> None:
    arguments = asked(__doc__)
    size, texts = budget(arguments.quick), tuple(map(str, TABLE_12))
    runs = arm("AST+GC", arguments.seeds, size, patterns=texts, gc=True)
    for text in texts[:1] if arguments.quick else texts:
        runs += arm(f"SR-STE {text}", arguments.seeds, size, training="srste", patterns=(text,))
    table = table_of(done(runs, arguments))
    torch.set_num_threads(1)
    times = [timed(pattern, 5 if arguments.quick else 50) for pattern in (None, *TABLE_12)]
    found = {"budget": {**asdict(size), "val": 10 * VAL}, "rows": table, "times": times, "claims": claims(table)}
    write(__file__, arguments, found)


if __name__ == "__main__":
    main()
