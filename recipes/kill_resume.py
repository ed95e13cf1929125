"""Kill a fit at random moments, resume it, and compare every byte with a run that was left alone.

    python recipes/kill_resume.py --data FOLDER [--kills 20] [--method repnet] [--weights FILE]

Each trial starts ``edgewise fit`` in a process of its own, sends SIGKILL after a random time
between the moment the run folder appears and the time the undisturbed run took, and repeats the
command with ``--resume``.  A kill that came after the end does not count.  Writes
``recipes/results/kill_resume_DATE.json``.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from grid import write_result
from safetensors.torch import load_file

from edgewise.core.surgery import digest


def fit_command(out: Path, fit_arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "edgewise", "fit", *fit_arguments, "--out", str(out), "--quiet"]


def undisturbed(out: Path, fit_arguments: list[str]) -> float:
    """Run to the end; seconds from the first sign of the run folder to the end."""
    process = subprocess.Popen(fit_command(out, fit_arguments))
    _wait_for(out / "config.yaml", process)
    began = time.monotonic()
    if process.wait() != 0:
        raise SystemExit("The undisturbed run failed.")
    return time.monotonic() - began


def killed_and_resumed(out: Path, fit_arguments: list[str], after: float) -> bool:
    """SIGKILL ``after`` seconds into the run, then resume; False where the run had ended before."""
    process = subprocess.Popen(fit_command(out, fit_arguments))
    _wait_for(out / "config.yaml", process)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return False
    finished = subprocess.run([*fit_command(out, fit_arguments), "--resume"], check=False)
    if finished.returncode != 0:
        raise SystemExit(f"Resuming after {after:.2f} s failed with status {finished.returncode}.")
    return True


def adapter_digest(out: Path) -> str:
    return digest(load_file(out / "artifact" / "adapter.safetensors"))


def trials(folder: Path, fit_arguments: list[str], kills: int, seed: int) -> list[dict[str, Any]]:
    """One row a kill that hit a living process: when, and whether the weights are equal in the end."""
    seconds = undisturbed(folder / "whole", fit_arguments)
    expected = adapter_digest(folder / "whole")
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(3 * kills):
        after, out = rng.uniform(0, seconds), folder / f"killed-{number}"
        if killed_and_resumed(out, fit_arguments, after):
            rows.append({"after_s": round(after, 2), "equal": adapter_digest(out) == expected})
        if len(rows) == kills:
            break
    return rows


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        if process.poll() is not None:
            raise SystemExit(f"The run ended with status {process.returncode} before it began.")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args, fit_arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = trials(Path(folder), [args.data, *fit_arguments], args.kills, args.seed)
    equal = sum(row["equal"] for row in rows)
    print(f"{equal} of {len(rows)} killed runs end with the bytes of the undisturbed one")
    result = {"recipe": "recipes/kill_resume.py", "fit": fit_arguments, "equal": equal, "trials": rows}
    write_result("kill_resume", result)


if __name__ == "__main__":
    main()
