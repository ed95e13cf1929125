"""The dissertation's speed-ups on an FPGA (Table 7) by a model: calibrated on two layers, it predicts the third.

    python recipes/compress/pe_array.py [--network RUN/artifact/network.ew3]

A model, not a measurement: Table 7 prints three speed-ups over the same accelerator without group skipping, and
neither clock, number of elements nor cycles.  `edgewise.compress.array` has two costs that can be fitted, the cycles to
look up one group and those of a layer whatever it holds; every pair of layers is fitted, and the third predicted.  Also
said: what each single cost would have to be, and what whole filters on P elements allow at all.

With --network, what the array calibrated on all three layers says of a network of one's own, for 1 to 16 elements.

Expected (dissertation, stages 1 to 3): 1.56, 1.69 and 1.73, where the counts of groups alone give 1.78, 1.94 and 2.15.
Found: 1.60, 1.65 and 1.83, each from the other two (1.60, 1.65 and 1.81 where a fetch costs nothing).  4, 8 or 16
elements that hold whole filters cannot have made the table: of nine stored filters, one of four has three.

Time: a second.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from claims import claim
from tables import write

from edgewise.compress import read_network
from edgewise.compress.array import Array, dense_cycles, job, most_even, packed_layers, speedup
from edgewise.compress.array_fit import TABLE_7, Cost, calibrated, held_out

ELEMENTS = (1, 2, 4, 8, 16)
FREE: tuple[tuple[Cost, ...], ...] = (("index", "fixed"), ("fixed",), ("index",))
ARRAY = Array()


def predictions() -> list[dict[str, Any]]:
    """Each layer from the other two, by the costs that were free; costs in cycles."""
    return [
        {
            "free": " and ".join(free),
            "layer": one.layer.name,
            "printed": one.measured,
            "predicted": round(one.predicted, 3),
            "error": round(one.predicted / one.measured - 1, 3),
            "index_cycles": round(one.array.index, 2),
            "fixed_cycles": round(one.array.fixed),
        }
        for free in FREE
        for one in held_out(TABLE_7, ARRAY, free)
    ]


def single_costs() -> list[dict[str, Any]]:
    """What one cost alone would have to be for each layer; without the time of a fetch, as in the counts alone."""
    plain = replace(ARRAY, fetch=0.0)
    return [
        {
            "layer": one.layer.name,
            "ideal": round(speedup([one.layer], plain).ideal, 3),
            "printed": one.speedup,
            "lookup_share_of_job": round(calibrated([one], plain, ("index",)).index / job(one.layer, plain), 3),
            "fixed_share_of_dense": round(
                calibrated([one], plain, ("fixed",)).fixed / dense_cycles(one.layer, plain), 3
            ),
            "load_over_mean": round(speedup([one.layer], plain).ideal / one.speedup, 3),
        }
        for one in TABLE_7
    ]


def loads() -> list[dict[str, Any]]:
    """The speed-ups that whole filters on P elements allow, costs apart: spread most evenly, and on average."""
    return [
        {
            "elements": elements,
            "layer": one.layer.name,
            "printed": one.speedup,
            "most_even": round(most_even(one.layer, elements), 3),
            "expected": round(speedup([one.layer], Array(elements, fetch=0.0)).with_imbalance, 3),
            "possible": most_even(one.layer, elements) >= one.speedup,
        }
        for elements in ELEMENTS
        for one in TABLE_7
    ]


def of_network(path: Path) -> list[dict[str, Any]]:
    """The model's speed-ups of a whole packed network."""
    layers, array = packed_layers(read_network(path)), calibrated(TABLE_7, ARRAY)
    found = ((elements, speedup(layers, replace(array, elements=elements))) for elements in ELEMENTS)
    return [
        {"elements": count, **{name: round(value, 3) for name, value in asdict(one).items()}} for count, one in found
    ]


def claims() -> list[dict[str, Any]]:
    """About the model with both costs free."""
    both = [row for row in predictions() if row["free"] == "index and fixed"]
    alone = {row["layer"]: row["ideal"] / row["printed"] - 1 for row in single_costs()}
    closer = [
        {
            "layer": row["layer"],
            "error": row["error"],
            "error_of_counts": round(alone[row["layer"]], 3),
            "holds": abs(row["error"]) < abs(alone[row["layer"]]),
        }
        for row in both
    ]
    crowded = [
        {"elements": count, "holds": not all(row["possible"] for row in loads() if row["elements"] == count)}
        for count in ELEMENTS
        if count >= 4
    ]
    return [
        claim("the model predicts the third layer better than the counts of groups alone", closer),
        claim("whole filters on 4, 8 or 16 elements cannot have made Table 7", crowded),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, help="a packed network, to say what the model says of it")
    network = parser.parse_args().network
    result = {"model": True, "array": asdict(calibrated(TABLE_7, ARRAY)), "predictions": predictions()}
    result |= {"single_costs": single_costs(), "loads": loads()}
    for title in ("predictions", "single_costs", "loads"):
        _print(f"{title.replace('_', ' ')} (a model of Table 7, not a measurement)", result[title])
    if network is not None:
        _print(f"{network} (a model, not a measurement)", of_network(network))
        return
    settings = argparse.Namespace(seeds=None, quick=False)
    write(__file__, settings, {**result, "claims": claims()})


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    widths = [max(len(str(value)) for value in (name, *(row[name] for row in rows))) for name in rows[0]]
    print(title)
    for line in (list(rows[0]), *(row.values() for row in rows)):
        print("  " + "  ".join(str(value).rjust(width) for value, width in zip(line, widths, strict=True)))
    print()


if __name__ == "__main__":
    main()
