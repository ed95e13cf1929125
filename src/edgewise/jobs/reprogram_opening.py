"""Open a program before its source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgewise.core.artifacts import read_manifest
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess
from edgewise.jobs.opening import Opened, found_weights
from edgewise.jobs.reprogram_source import Reached, SourceRequest, check_reads_photos, reach
from edgewise.reprogram import BlackBox, Ledger, Pipeline, Reprogrammed

LEDGER = "queries.sqlite"


class Answering(nn.Module):
    """A reprogrammed model as a network: photos as bytes (N, 3, S, S) to logits (N, classes)."""

    def __init__(self, work: Pipeline) -> None:
        super().__init__()
        self.work, self.parts = work, nn.ModuleDict(work.modules())

    def forward(self, photos: Tensor) -> Tensor:
        return self.work(photos)


def asked_now(opened: Opened) -> dict[str, Any]:
    """``{"asked": {"queries", "cost"}}`` since it was opened; nothing where its source may be looked into."""
    ledger = opened.ledger
    if ledger is None:
        return {}
    queries = ledger.spent - ledger.before
    return {"asked": {"queries": queries, "cost": queries * ledger.price}}


def open_program(folder: Path, weights: str | None, source: str | None, token: str | None) -> Opened:
    """Open an artifact of kind ``program``: its source is reached as `open_run` says."""
    manifest = read_manifest(folder, "program")
    if "origin" not in manifest or "preprocess" not in manifest:
        raise EdgewiseError(
            f"The program in {folder} was saved from Python and does not say where its source is: open it there, "
            "edgewise.reprogram.Reprogrammed.load(FOLDER, source)."
        )
    said, preprocess = manifest["origin"], Preprocess.from_json(manifest["preprocess"])
    try:
        request = _request(said, weights, source)
        price = float(said["price"])
    except (KeyError, TypeError, ValueError) as error:
        raise EdgewiseError(f"The origin in {folder}/artifact.json is incomplete ({error}). Was it edited?") from error
    reached = reach(request, token)
    check_reads_photos(reached)
    ledger = _ledger(folder, price) if request.answers_only else None

    def close() -> None:
        reached.close()
        if ledger is not None:
            ledger.close()

    try:
        model = Reprogrammed.load(folder, _same_as_ever(reached, ledger))
    except BaseException:
        close()
        raise
    answering = Answering(model.fitted()).eval()
    return Opened(answering, preprocess, tuple(manifest["classes"]), manifest, folder, ledger, close)


def _same_as_ever(reached: Reached, ledger: Ledger | None) -> Any:
    """The source; where the ledger knows what a black box said to its fixed samples, they are asked anew."""
    source = reached.source(ledger)
    if isinstance(source, BlackBox) and source.probed:
        source.check_unchanged()
    return source


def _request(said: Mapping[str, Any], weights: str | None, source: str | None) -> SourceRequest:
    name = source or str(said["name"])
    if "://" in name:
        return SourceRequest(name, weights)
    path = Path(name)
    if not path.is_dir() and len(path.parts) > 1 and ":" not in name:
        raise EdgewiseError(f"The program's source was the run {name}, and it is not there: name it with --source.")
    found = weights or found_weights(said, "source")
    return SourceRequest(
        name, None if found is None else str(found), said["width"], said["image_size"], said["black_box"]
    )


def _ledger(folder: Path, price: float) -> Ledger:
    """The run's own, so that nothing is paid for twice; in memory where the artifact was carried away from it."""
    own = folder.parent / LEDGER
    return Ledger(own if own.is_file() else None, price=price)
