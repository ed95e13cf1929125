"""The page of ``profile --report``: the predictions it needs besides the one that was asked for."""

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import write_text
from edgewise.core.progress import Listener
from edgewise.cost.kept import KeptBytes
from edgewise.jobs.environment import environment
from edgewise.jobs.step_process import predict
from edgewise.jobs.training_step import StepRequest, TrainingStep
from edgewise.report.memory_page import Depth, Grown, MemoryRecord, memory_page

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
Place = tuple[int, int]  # side of the input in pixels, photos in a step


def check_place(page: Path) -> None:
    """Raise `UsageError` where ``page`` could not be written: better now than after the work."""
    folder = page.parent
    if page.is_dir():
        raise UsageError(f"--report {page} is a folder; name a file in it, such as {page / 'memory.html'}.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} for --report {page.name}. Make it first, or choose another.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written to ({error.strerror}). Choose another place with --report."
        ) from error


def write_report(
    request: StepRequest, found: Mapping[str, Any], page: Path, command: str, listener: Listener, began: float
) -> None:
    """Predict what ``found`` (the answer to ``request``) is compared with, and write ``page``.

    ``began`` is the `time.monotonic` at which the command began.  A step that cannot be predicted is
    left out of the page and named in it; the one that ``found`` is compared with must be.
    """
    depth, size = along(request)
    compared, chosen = other(request), (size, request.batch_size)
    batches = sorted({*BATCH_SIZES, request.batch_size})
    places = list(dict.fromkeys([(size, batch) for batch in batches] + [(side, chosen[1]) for side in sides(size)]))
    ours: dict[Place, Mapping[str, Any]] = {chosen: found}
    theirs: dict[Place, Mapping[str, Any]] = {}
    work = [(ours, request, place) for place in places if place != chosen]
    work += [(theirs, compared, place) for place in places]
    notes = []
    listener.stage(f"Predicting {len(work)} more steps for the report")
    for done, (answers, base, place) in enumerate(work):
        listener.progress(done, len(work))
        try:
            answers[place] = predicted_here(dataclasses.replace(base, image_size=place[0], batch_size=place[1]))
        except EdgewiseError as error:
            if place == chosen:
                raise
            notes.append(f"At {place[0]} px, batch {place[1]}, --lean {base.lean} there is no prediction: {error}")
    listener.progress(len(work), len(work))
    record = MemoryRecord(
        command=command,
        settings=dataclasses.asdict(request),
        environment=environment(),
        size=size,
        found=found,
        other_lean=compared.lean,
        other=theirs[chosen],
        batch_sizes=Grown(*({b: each for (s, b), each in got.items() if s == size} for got in (ours, theirs))),
        image_sizes=Grown(*({s: each for (s, b), each in got.items() if b == chosen[1]} for got in (ours, theirs))),
        depth=depth,
        notes=tuple(notes),
        seconds=time.monotonic() - began,
    )
    write_text(page, memory_page(record))


def predicted_here(request: StepRequest) -> dict[str, Any]:
    """A prediction in this process, which measures nothing that it could disturb: four times as fast as in its own."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(request.threads or threads)
        return predict(request)
    finally:
        torch.set_num_threads(threads)


def other(request: StepRequest) -> StepRequest:
    """The same step in stock PyTorch; what was asked for in stock PyTorch is compared with ``--lean small``."""
    return dataclasses.replace(request, lean="small" if request.lean == "off" else "off", frozen_bits=32)


def sides(size: int) -> list[int]:
    """Up to five sides of the input about ``size`` pixels, from half of it to one and a half times as much."""
    step = 32 if size >= 128 else 8 if size >= 32 else 4
    near = {max(8, step * round(size * share / step)) for share in (0.5, 0.75, 1.25, 1.5)}
    return sorted({*near, size})


def along(request: StepRequest) -> tuple[Depth, int]:
    """What one photo adds up to, layer by layer, in stock PyTorch; and the side of the input in pixels.

    The photo really runs forward, in eval mode: so a batch norm takes one photo as well.
    """
    step = TrainingStep(dataclasses.replace(request, lean="off", frozen_bits=32, batch_size=1))
    step.prepare()
    step.model.eval()
    macs: list[int] = []
    held: list[int] = []

    def note(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        macs.append((macs[-1] if macs else 0) + output.numel() * weight[0].numel())
        held.append(kept.total)

    layers = [module for module in step.model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.enable_grad(), KeptBytes([step.images, *step.model.parameters(), *step.model.buffers()]) as kept:
            loss = step.loss()  # holds the graph, so that no kept storage is freed and counted again
    finally:
        for handle in handles:
            handle.remove()
    del loss
    return Depth(tuple(macs), tuple(count / 1e6 for count in held)), step.shape[-1]
