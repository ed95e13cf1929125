"""Write the measured parts of ``docs/compress.md`` from the newest results there are.

    python recipes/draw_compress.py

Reads ``recipes/results`` and ``benchmarks/results`` only.  Between the marks of a recipe that has not been run stands
that it was not; the text around the marks is written by hand.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from draw_comparison import table, with_spread
from draw_reprogramming import claim_text
from draw_results import benched, replaced
from grid import newest

Result = Mapping[str, Any]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "compress.md"
TABLES = ("sweep", "table1", "table3", "table6")
SHOWN = {
    "test": "test accuracy, %",
    "val": "validation, %",
    "group_sparsity": "groups empty, %",
    "overall_sparsity": "weights 0, %",
    "eq_2_8": "smaller (Eq. 2.8)",
    "with_ends": "with ends, index",
    "file": "whole file",
}
CONTENDERS = {
    "ours int8": "this program, int8",
    "ours int16": "int16",
    "ours float": "float",
    "torch float": "PyTorch, float",
    "onnxruntime float": "ONNX Runtime, float",
    "onnxruntime int8": "ONNX Runtime, int8",
}
NOT_RUN = "*Not run yet.*"


def trained(result: Result | None) -> str:
    """Rows of a recipe that compresses, a line an arm."""
    if result is None:
        return NOT_RUN
    rows = result["rows"]
    shown = [name for name in SHOWN if any(f"{name}_mean" in row for row in rows)]
    lines = [[row["task"], row["arm"], *(_number(row, name) for name in shown)] for row in rows]
    budget, environment = result["budget"], result["environment"]
    said = f"*{budget['images']:,} photos, {budget['epochs']} epochs; {rows[0]['seeds']} seeds"
    parts = [table(["network", "", *(SHOWN[name] for name in shown)], lines), *_claims(result)]
    return "\n\n".join([*parts, f"{said}; torch {environment['torch']}, {environment['cpu']}.*"])


def kernel(rows: Sequence[Result]) -> str:
    """Milliseconds of the C program and its peers, and what skipping groups gains."""
    heads = ["ms for one photo", *(row["subject"] for row in rows)]
    lines = [[said, *(f"{row['ms'][name]:.3g}" for row in rows)] for name, said in CONTENDERS.items()]
    gains = [
        [f"{mode}: skipping gains", *(f"{row['speedup'][mode]:.2f} ({row['of_ideal'][mode]:.0%})" for row in rows)]
        for mode in rows[0]["speedup"]
    ]
    ideal = ["ideal, from the groups stored", *(f"{row['ideal']:.2f}" for row in rows)]
    return table(heads, [*lines, *gains, ideal])


def on_array(result: Result | None) -> str:
    """The model's predictions, each from the two other layers."""
    if result is None:
        return NOT_RUN
    free = result["predictions"][0]["free"]
    rows = [row for row in result["predictions"] if row["free"] == free]
    lines = [[row["layer"], f"{row['printed']:.2f}", f"{row['predicted']:.2f}", f"{row['error']:+.1%}"] for row in rows]
    return table(["a model, no measurement", "printed", "from the other two", "off by"], lines)


def _number(row: Mapping[str, Any], name: str) -> str:
    if f"{name}_mean" not in row:
        return ""
    form = with_spread(row[f"{name}_mean"], row[f"{name}_std"])
    return form if name not in ("eq_2_8", "with_ends", "file") else f"{row[f'{name}_mean']:.1f}x"


def _claims(result: Result) -> Sequence[str]:
    return ["\n".join(map(claim_text, result["claims"]))] if result.get("claims") else []


def sections() -> dict[str, str]:
    """What stands between the marks, by their names."""
    found = {name: trained(newest(f"compress_{name}")) for name in TABLES}
    table7 = newest("compress_table7")
    found["table7"] = "\n".join(map(claim_text, table7["claims"])) if table7 else NOT_RUN
    return {**found, "kernel": kernel(benched("ternary_kernel")), "pe_array": on_array(newest("compress_pe_array"))}


def main() -> None:
    text = PAGE.read_text()
    for name, content in sections().items():
        text = replaced(text, name, content)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
