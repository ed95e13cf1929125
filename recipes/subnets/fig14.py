"""The dissertation's Figure 14: how differently two sub-nets are connected, layer by layer.

    python recipes/subnets/fig14.py --shared DIR --state DIR [--quick] [--seeds N]

The runs AST+GC of ``table10.py``.  Non-overlap is the share of ones in the XOR of two masks; no two masks can differ by
less than the gap between their densities, and what lies above it are connections of one sub-net's own.

Expected (dissertation): non-overlap is larger than the gap in every layer.
Time: estimated, 3 runs, all shared with table10.py.
"""

import statistics
from dataclasses import asdict

from sparse import DENSITIES, arm, asked, budget, claim, done, write


def layers(runs, pair):
    """By layer, means over seeds: the non-overlap of the two sub-nets of ``pair`` and the gap of their densities."""
    of = [next(one for one in run["non_overlap"] if one["pair"] == pair) for run in runs]
    return {
        layer: {key: statistics.fmean(one["layers"][layer][key] for one in of) for key in ("non_overlap", "gap")}
        for layer in of[0]["layers"]
    }


def claims(found):
    places = [
        {"pair": pair, "layer": layer, "holds": one["non_overlap"] > one["gap"] + 1e-9}
        for pair, own in found.items()
        for layer, one in own.items()
    ]
    return [claim("masks differ by more than their densities", places)]


def main() -> None:
    arguments = asked(__doc__)
    size = budget(arguments.quick)
    runs = done(arm("AST+GC", arguments.seeds, size, densities=DENSITIES, relation="nd", gc=True), arguments)
    pairs = [one["pair"] for one in runs[0]["non_overlap"]]
    found = {" and ".join(pair): layers(runs, pair) for pair in pairs}
    write(__file__, arguments, {"budget": asdict(size), "layers": found, "claims": claims(found)})


if __name__ == "__main__":
    main()
