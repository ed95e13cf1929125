"""Open a finished run, whatever it made: an adapter on its backbone, a program before its source, a whole network."""

from pathlib import Path

from edgewise.core.artifacts import find_artifact
from edgewise.core.errors import UsageError
from edgewise.core.files import read_json
from edgewise.jobs.opening import Opened, open_artifact
from edgewise.jobs.packed_opening import open_packed
from edgewise.jobs.reprogram_opening import open_program
from edgewise.jobs.subnets_opening import open_subnets


def open_run(
    path: Path,
    weights: str | None = None,
    source: str | None = None,
    token: str | None = None,
    sub_net: str | None = None,
) -> Opened:
    """Open a run or artifact folder of any of these kinds; whoever has it closes it.

    ``weights`` are the backbone's or the source's, where they moved; ``source`` and ``token`` are for a program: where
    its source is now, and what it asks for; ``sub_net`` is the one to use of several.  Raises `EdgewiseError` where
    anything is missing or is not what the artifact was made for.
    """
    folder = find_artifact(path)
    manifest = read_json(folder / "artifact.json", "artifact")
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if sub_net is not None and kind != "subnets":
        raise UsageError(f"--subnet is for a run with several sub-nets, and {path} is none; leave it out.")
    if kind == "program":
        return open_program(folder, weights, source, token)
    if source is not None:
        raise UsageError(f"--source is for a reprogrammed model, and {path} is none; leave it out.")
    if kind in ("ternary", "subnets"):
        if weights is not None:
            raise UsageError(f"--weights names a backbone's file, and {path} holds all of its weights; leave it out.")
        return open_packed(folder) if kind == "ternary" else open_subnets(folder, sub_net)
    return open_artifact(path, weights)
