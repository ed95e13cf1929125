"""Networks of timm and Hugging Face, and the one place where their libraries are imported.

timm needs torchvision, whose compiled operators do not load beside a torch of another build (a
frequent accident: pytorch/vision#9077, #9085).  `ensure_torchvision` declares the two operators
whose absence stops its import; nothing is faked, calling them still fails, and no classifier does.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgewise.backbones.blocks import seeded
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess

PREFIXES = ("timm:", "hf:")
OPERATORS = ("nms", "qnms")
_KEPT: list[torch.library.Library] = []  # a declaration lasts as long as its Library object


@dataclass(frozen=True, eq=False)
class External:
    """A network from elsewhere.  ``holder`` is the part whose names its weight files use."""

    module: nn.Module
    holder: nn.Module
    input: Preprocess
    classes: tuple[str, ...] | None
    licence: str | None
    source: str | None
    notes: tuple[str, ...] = ()


class LogitsOnly(nn.Module):
    """A Hugging Face image classifier as images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


def open_external(name: str, pretrained: bool, classes: int | None, seed: int) -> External:
    """``timm:NAME`` or ``hf:NAME_OR_FOLDER``; ``pretrained`` downloads what is not in their caches.

    What is not pretrained is drawn from ``seed``.  ``classes`` replaces the head by a random one.
    Raises `UsageError` when the library is not installed or does not know the name, `EdgewiseError`
    when the weights cannot be had.
    """
    library, _, rest = name.partition(":")
    if not rest:
        raise UsageError(f"{name!r} names no network; write {name}NAME.")
    opener: Callable[[str, bool, int | None], External] = {"timm": _timm, "hf": _hugging_face}[library]
    with seeded(seed):
        return opener(rest, pretrained, classes)


def ensure_torchvision() -> Literal["missing", "full", "no-ops"]:
    """Make ``import torchvision`` work where its compiled operators do not load.

    Answers whether it is missing, whole, or there without its operators.  Whatever else is wrong
    with it is raised as it comes.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "missing"
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "FRAGMENT")
        _KEPT.append(library)
        for operator in OPERATORS:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return "full" if torchvision.extension._has_ops() else "no-ops"


def _timm(name: str, pretrained: bool, classes: int | None) -> External:
    _need("timm", "timm")
    if ensure_torchvision() == "missing":
        raise UsageError("timm needs torchvision, which is not installed: pip install 'edgewise[timm]'.")
    import timm

    if not timm.is_model(name):
        known = timm.list_models()
        close = get_close_matches(name.lower(), known, n=1, cutoff=0.75)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"timm has no network {name!r}.{hint} timm.list_models() names all {len(known)}.")
    head = {} if classes is None else {"num_classes": classes}
    model = _had(f"timm:{name}", lambda: timm.create_model(name, pretrained=pretrained, **head))
    config: Mapping[str, Any] = model.pretrained_cfg
    source = config.get("hf_hub_id") or config.get("url") or f"timm {name}"
    return External(
        model,
        model,
        Preprocess(config["input_size"][-1], tuple(config["mean"]), tuple(config["std"])),
        None,
        config.get("license"),
        source,
    )


def _hugging_face(name: str, pretrained: bool, classes: int | None) -> External:
    _need("transformers", "hf")
    local = Path(name).is_dir()
    if name[0] in "/.~" and not local:
        raise UsageError(f"There is no folder {name}; hf: takes a folder, or the name of a model on the Hub.")
    ensure_torchvision()  # absent it is not missed, broken it breaks transformers
    from transformers import AutoConfig, AutoModelForImageClassification

    head: dict[str, int] = {} if classes is None else {"num_labels": classes}
    if pretrained:
        model = _had(
            f"hf:{name}",
            lambda: AutoModelForImageClassification.from_pretrained(name, ignore_mismatched_sizes=bool(head), **head),
        )
    else:
        config = _had(f"hf:{name}", lambda: AutoConfig.from_pretrained(name, **head))
        model = _had(f"hf:{name}", lambda: AutoModelForImageClassification.from_config(config))
    expects, notes = _processor(name, model.config.to_dict())
    names = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
    unnamed = all(label == f"LABEL_{i}" for i, label in enumerate(names))
    return External(
        LogitsOnly(model), model, expects, None if unnamed else names, None, None if local else f"hf:{name}", notes
    )


def _processor(name: str, config: Mapping[str, Any]) -> tuple[Preprocess, tuple[str, ...]]:
    """The input that the image processor's file states, or the usual one with a note."""
    from transformers.image_processing_base import ImageProcessingMixin

    size = _side(config.get("image_size")) or 224
    try:
        said, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return Preprocess(size), (
            f"hf:{name} has no preprocessor_config.json; assumed: input {size} px, ImageNet's mean and std.",
        )
    size = (_side(said.get("crop_size")) if said.get("do_center_crop") else _side(said.get("size"))) or size
    if not said.get("do_normalize", True):
        return Preprocess(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ()
    usual = Preprocess(size)
    stated = {"size": size, "mean": said.get("image_mean", usual.mean), "std": said.get("image_std", usual.std)}
    return Preprocess.from_json(stated), ()


def _side(value: Any) -> int | None:
    """Pixels in Hugging Face's ways of writing them: 224, [224, 224], {"height": 224}, {"shortest_edge": 224}."""
    if isinstance(value, Mapping):
        value = value.get("height") or value.get("shortest_edge")
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return value if isinstance(value, int) else None


def _need(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{module} is not installed, and this backbone is its: pip install 'edgewise[{extra}]'.")


def _had(name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` returns; its failure, of whatever kind, in the user's words."""
    try:
        return make()
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise EdgewiseError(
            f"{name} could not be opened ({type(error).__name__}: {reason}). Its weights are downloaded the first "
            "time they are used; without a network name a file with --weights, or take --weights none."
        ) from error
