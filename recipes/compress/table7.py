"""The dissertation's Table 7: what leaving out groups gains where layers are computed, there an FPGA, here a CPU.

    python recipes/compress/table7.py [--onnxruntime PYTHON] [--rounds N]

The same three layers (16, 32 and 64 channels, groups of 16 x 3 x 3, 9, 33 and 119 of them stored), each by the
exported C kernel with 16-bit activations as on the FPGA, with 8 bits, and in float; against the same kernel with all
groups stored, as many zeros in each.  `benchmarks/ternary_kernel.py` measures; with --onnxruntime against ONNX Runtime.

Expected (dissertation, FPGA): 1.56, 1.69 and 1.73 times faster, where the counts of groups alone give 1.78, 1.94, 2.15.
Must here: at least 0.8 of the ideal, and faster than PyTorch in float.  Time: two minutes on one core.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import torch
from claims import claim
from tables import write
from ternary_kernel import MODES, measured, show, table_7

FPGA = {"stage 1": 1.56, "stage 2": 1.69, "stage 3": 1.73}
SHARE = 0.8  # of the ideal


def claims(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The Must, and how it compares with the FPGA's."""
    found = []
    for mode in MODES:
        shares = [{"layer": row["subject"], "of_ideal": round(row["of_ideal"][mode], 3)} for row in rows]
        places = [{**share, "holds": share["of_ideal"] >= SHARE} for share in shares]
        found.append(claim(f"{mode}: skipping groups gains {SHARE} of the ideal", places))
        places = [
            {"layer": row["subject"], "speedup": round(row["speedup"][mode], 2), "fpga": FPGA[row["subject"]]}
            for row in rows
        ]
        found.append(
            claim(
                f"{mode}: it gains as much as on the FPGA", [{**p, "holds": p["speedup"] >= p["fpga"]} for p in places]
            )
        )
        places = [
            {"layer": row["subject"], "ms": row["ms"][f"ours {mode}"], "torch": row["ms"]["torch float"]}
            for row in rows
        ]
        found.append(
            claim(f"{mode}: faster than PyTorch in float", [{**p, "holds": p["ms"] < p["torch"]} for p in places])
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnxruntime", metavar="PYTHON", help="a Python with onnx and onnxruntime")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every contender")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        for subject in table_7():
            row = measured(
                subject, Path(folder, subject.name.replace(" ", "")), arguments.rounds, arguments.onnxruntime
            )
            rows.append({**row, "fpga": FPGA[subject.name]})
            show(row)
            print(f"  on the FPGA (dissertation, 16 bits){FPGA[subject.name]:7.2f} x")
    write(
        __file__,
        argparse.Namespace(seeds=None, quick=False),
        {
            "settings": {"onnxruntime": bool(arguments.onnxruntime), "rounds": arguments.rounds},
            "rows": rows,
            "claims": claims(rows),
        },
    )


if __name__ == "__main__":
    main()
