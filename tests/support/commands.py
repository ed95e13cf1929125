"""Run the command line as a user does: in a process of its own, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

COLOURFUL = {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"}
SOURCES = Path(__file__).resolve().parents[2] / "src"


def environment(*before: Path) -> dict[str, str]:
    """Finds ``edgewise`` after the folders ``before``; no colours, 80 columns, one thread for tiny networks."""
    own = {name: value for name, value in os.environ.items() if name not in COLOURFUL}
    paths = os.pathsep.join(map(str, (*before, SOURCES)))
    return {**own, "PYTHONPATH": paths, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80", "OMP_NUM_THREADS": "1"}


def edgewise(
    folder: Path, *arguments: str, before: tuple[Path, ...] = (), limit: float = 170
) -> subprocess.CompletedProcess[str]:
    """``edgewise ARGUMENTS`` in ``folder``: its exit status, output and errors."""
    return subprocess.run(
        [sys.executable, "-m", "edgewise", *arguments],
        cwd=folder,
        env=environment(*before),
        capture_output=True,
        text=True,
        timeout=limit,
    )
