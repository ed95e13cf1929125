"""What a finished reprogramming leaves: scores, the checked artifact, pictures, the record and the page."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from edgewise.core.errors import EdgewiseError
from edgewise.core.progress import Listener
from edgewise.core.runs import RunFolder
from edgewise.core.surgery import digest
from edgewise.core.units import megabytes
from edgewise.data.images import open_image
from edgewise.data.transforms import evaluation_image
from edgewise.jobs.environment import environment
from edgewise.jobs.photos import data_record
from edgewise.jobs.reprogram_opening import Answering
from edgewise.jobs.reprogram_pictures import mapping_rows, numbers_in, write_canvas, write_samples
from edgewise.jobs.reprogram_preparing import Prepared
from edgewise.jobs.reprogram_request import resolved
from edgewise.jobs.reprogram_source import origin
from edgewise.jobs.results import CHECKED, Scored, evaluate_run, scored_part
from edgewise.report import write_report
from edgewise.reprogram import BlackBox, BudgetExceededError, Reprogrammed
from edgewise.train.classify import predict
from edgewise.train.scores import evaluation


def finish(prepared: Prepared, model: Reprogrammed, command: str, listener: Listener) -> dict[str, Any]:
    """Save ``model``, score it once, save and check the artifact; the record, but for what `complete` adds.

    Raises `EdgewiseError` where the budget does not reach to score it (the program is saved then), the source is not
    what it was, or the artifact does not give back what was saved.
    """
    listener.stage("Scoring, saving and checking the program")
    folder, images, work = prepared.folder, prepared.images, model.fitted()
    about = {
        "origin": origin(prepared.reached, prepared.request.price),
        "preprocess": prepared.preprocess.to_json(),
    }
    model.save(folder.artifact, about)  # so that nothing that follows can lose it
    notes = list(prepared.notes[1:])
    if model.stopped_ is not None:
        notes.append(f"The training ended early, with the best program so far: {model.stopped_}")
        listener.note(notes[-1])
        folder.say(notes[-1])
    try:
        scored = evaluate_run(Answering(work), prepared.preprocess, images, folder, prepared.workers)
        alone = _mapping_alone(prepared, model) if prepared.compared else None
        samples = write_samples(
            work, images, scored_part(images)[1], prepared.preprocess, prepared.reached.labels, folder
        )
        source = _source_record(prepared, model)
    except BudgetExceededError as reason:
        raise EdgewiseError(
            f"The program is saved in {folder.artifact}, and the budget does not reach to score it: {reason}"
        ) from reason
    metrics = _metrics(model, scored, alone)
    kept = {key: metrics[key] for key in ("accuracy", "split", "n", "val_accuracy", "best_epoch")}
    model.save(folder.artifact, {**about, "metrics": kept})
    _check_saved(prepared, model)
    return {
        "kind": "reprogram",
        "command": command,
        "config": resolved(prepared.request, prepared.parts),
        "environment": environment(),
        "seeds": {"seed": prepared.request.seed},
        "data": data_record(images),
        "metrics": metrics,
        "source": source,
        "asked": _asked(prepared, model),
        "mapping": mapping_rows(work.reader, images.classes, prepared.reached.labels),
        "canvas": write_canvas(work, folder),
        "samples": samples,
        "cost": {"measured_rss_mb": None},
        "sizes": {
            "trained_numbers": numbers_in(work),
            "photo_side": prepared.preprocess.size,
            "artifact_bytes": (folder.artifact / "program.safetensors").stat().st_size,
            "weight_bytes": prepared.reached.weight_bytes,
        },
        "history": model.history_,
        "notes": notes,
        "mistakes": scored.mistakes,
    }


def complete(folder: RunFolder, record: dict[str, Any]) -> dict[str, Any]:
    """Write the record, the table of epochs, the log's last line and the page; the record."""
    folder.write_metrics(record["history"])
    folder.write_record(record)
    metrics, size = record["metrics"], record["sizes"]["artifact_bytes"]
    folder.say(f"finished: {metrics['split']} accuracy {metrics['accuracy']:.4f}, program {megabytes(size)}")
    write_report(folder.root)
    return record


def _metrics(model: Reprogrammed, scored: Scored, alone: float | None) -> dict[str, Any]:
    best = model.best_epoch_
    on_val = model.history_[best - 1]["val_accuracy"] if best else None
    if on_val is None and scored.metrics["split"] == "val":
        on_val = scored.metrics["accuracy"]
    return {**scored.metrics, "val_accuracy": on_val, "best_epoch": best or None, "mapping_alone_accuracy": alone}


def _mapping_alone(prepared: Prepared, model: Reprogrammed) -> float:
    """Accuracy with the program as it started: what the mapping makes of the source's own answers."""
    _, samples = scored_part(prepared.images)
    with _as_it_started(model):
        probabilities = predict(Answering(model.fitted()), samples, prepared.preprocess, prepared.workers)
    return evaluation(probabilities, [sample.label for sample in samples], prepared.images.classes).accuracy


@contextmanager
def _as_it_started(model: Reprogrammed) -> Iterator[None]:
    live = model.fitted().tensors()
    trained = {name: tensor.clone() for name, tensor in live.items()}
    _put(live, model.first_)
    try:
        yield
    finally:
        _put(live, trained)


@torch.no_grad()
def _put(live: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in live.items():
        tensor.copy_(tensors[name])


def _source_record(prepared: Prepared, model: Reprogrammed) -> dict[str, Any]:
    """What was reprogrammed, and the proof that it is what it was.

    ``checked`` is "weights" where their digest was taken again (``after``), "answers" where the fixed samples were
    asked again, None where the budget did not reach for that.
    """
    reached, source = prepared.reached, model.fitted().source
    checked, after = None, None
    if reached.white is not None:
        reached.white.check_untouched()
        checked, after = "weights", digest(reached.white.module.state_dict())
    elif isinstance(source, BlackBox):
        with suppress(BudgetExceededError):
            source.check_unchanged()
            checked = "answers"
    return {
        "name": reached.request.name,
        "calls_itself": reached.calls_itself,
        "fingerprint": reached.white.fingerprint if reached.white is not None else source.fingerprint,
        "after": after,
        "checked": checked,
        "classes": reached.classes,
        "shape": list(reached.takes.shape),
        "tells": reached.answers,
        "remote": reached.endpoint is not None,
    }


def _asked(prepared: Prepared, model: Reprogrammed) -> dict[str, Any] | None:
    """What was asked and paid; None where the source could be looked into."""
    source = model.fitted().source
    if not isinstance(source, BlackBox):
        return None
    ledger, remote = source.ledger, prepared.reached.endpoint is not None
    sent, received = ledger.traffic
    return {
        "queries": ledger.spent,
        "planned": prepared.plan.parts(),
        "budget": ledger.budget,
        "price": ledger.price,
        "cost": ledger.cost,
        "sent_bytes": sent if remote else None,
        "received_bytes": received if remote else None,
        "epochs": prepared.plan.epochs,
        "steps": prepared.plan.steps,
        "whole_steps": -(-len(prepared.images.train) // prepared.request.batch_size),
    }


@torch.no_grad()
def _check_saved(prepared: Prepared, model: Reprogrammed) -> None:
    """Open the artifact as a user will, and demand the very same logits of a few photos; known answers cost nothing."""
    _, samples = scored_part(prepared.images)
    preprocess = prepared.preprocess
    photos = torch.stack(
        [evaluation_image(open_image(s.path, at_least=preprocess.resize), preprocess) for s in samples[:CHECKED]]
    )
    reopened = Reprogrammed.load(prepared.folder.artifact, model.fitted().source)
    if not torch.equal(Answering(reopened.fitted()).eval()(photos), Answering(model.fitted()).eval()(photos)):
        raise EdgewiseError(
            f"The program in {prepared.folder.artifact} does not give the logits it was trained to when it is opened "
            "again. Do not use it; please report this."
        )
