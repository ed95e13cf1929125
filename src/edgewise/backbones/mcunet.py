"""MCUNet-style networks (Lin et al., NeurIPS 2020; tiny-training, NeurIPS 2022), built from a spec.

A spec is plain JSON::

    {"first_conv": CONV, "blocks": [{"pointwise1": CONV, "depthwise": CONV, "pointwise2": CONV,
     "residual": true}, …], "feature_mix": CONV or null, "classifier": [in, classes]}

with ``CONV = [in, out, kernel, stride, groups, relu6]``; a block may lack a convolution.  It comes
from a weight file, so nothing in it is believed: `check_spec` reports every fault at once.
``SPEC`` is the searched network "mcunet-5fps" of mit-han-lab/tiny-training (MIT licence).
Padding is ``kernel // 2``; parameter names are ``first_conv``, ``blocks.k.depthwise.{conv,bn}``, …
Deviation: none in the function.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import ConvBnAct, initialise
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess

PARTS = ("pointwise1", "depthwise", "pointwise2")
CONV_FIELDS = ("in", "out", "kernel", "stride", "groups")
MOST_CHANNELS, MOST_BLOCKS, MOST_PARAMETERS, FAULTS_SHOWN = 8192, 256, 50_000_000, 5
CONV_LIMITS = ((1, MOST_CHANNELS), (1, MOST_CHANNELS), (1, 11), (1, 4), (1, MOST_CHANNELS))

Spec = Mapping[str, Any]


def _spec(stem: int, rows: tuple[tuple[int, int, int, int], ...], classes: int) -> dict[str, Any]:
    """The spec of a chain of inverted residuals; a row is (expand, kernel, channels, stride)."""
    blocks, inputs = [], stem
    for expand, kernel, outputs, stride in rows:
        hidden = inputs * expand
        block: dict[str, Any] = {} if expand == 1 else {"pointwise1": [inputs, hidden, 1, 1, 1, True]}
        block["depthwise"] = [hidden, hidden, kernel, stride, hidden, True]
        block["pointwise2"] = [hidden, outputs, 1, 1, 1, False]
        block["residual"] = stride == 1 and inputs == outputs
        blocks.append(block)
        inputs = outputs
    first = [3, stem, 3, 2, 1, True]
    return {"first_conv": first, "blocks": blocks, "feature_mix": None, "classifier": [inputs, classes]}


SPEC = _spec(
    16,
    (
        (1, 3, 8, 1), (4, 3, 16, 2), (3, 3, 16, 1), (3, 7, 24, 2), (5, 3, 24, 1), (5, 3, 40, 2), (4, 7, 40, 1),
        (4, 5, 48, 1), (3, 3, 48, 1), (4, 3, 48, 1), (5, 7, 96, 2), (4, 5, 96, 1), (4, 5, 96, 1), (6, 3, 160, 1),
    ),
    1000,
)  # fmt: skip


class TinyBlock(nn.Module):
    """The convolutions that its part of the spec names, in order, and a shortcut if it says so."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        for name in PARTS:
            if spec.get(name):
                self.add_module(name, _conv(spec[name]))
        self.residual = bool(spec["residual"])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y if self.residual else y


class MCUNet(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes); ``classes`` overrides the spec's number.

    Raises `EdgewiseError` when the spec is not one, or describes a network that is out of bounds.
    """

    def __init__(self, classes: int | None = None, spec: Spec = SPEC) -> None:
        super().__init__()
        check_spec(spec)
        self.first_conv = _conv(spec["first_conv"])
        self.blocks = nn.Sequential(*map(TinyBlock, spec["blocks"]))
        self.feature_mix = _conv(spec["feature_mix"]) if spec.get("feature_mix") else nn.Identity()
        inputs, outputs = spec["classifier"]
        self.classifier = nn.Linear(inputs, outputs if classes is None else classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.feature_mix(self.blocks(self.first_conv(x)))
        logits: Tensor = self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))
        return logits


def check_spec(spec: Any) -> None:
    """Raise `EdgewiseError` naming what is wrong with ``spec``; return when it can be built."""
    if not isinstance(spec, Mapping):
        raise EdgewiseError(f"An MCUNet spec is a JSON object; this is {_short(spec)}.")
    faults: list[str] = []
    blocks = spec.get("blocks")
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= MOST_BLOCKS:
        faults.append(f"blocks must be a list of 1 to {MOST_BLOCKS} blocks")
        blocks = []
    channels = _walk_conv("first_conv", spec.get("first_conv"), 3, faults)
    for i, block in enumerate(blocks):
        channels = _walk_block(f"blocks.{i}", block, channels, faults)
    if spec.get("feature_mix") is not None:
        channels = _walk_conv("feature_mix", spec["feature_mix"], channels, faults)
    classifier: Any = spec.get("classifier")
    if not _whole_numbers(classifier, ((1, MOST_CHANNELS), (1, 1_000_000))):
        faults.append(f"classifier must be [in, classes]; it is {_short(classifier)}")
    elif channels is not None and classifier[0] != channels:
        faults.append(f"classifier takes {classifier[0]} channels and is given {channels}")
    if not faults:
        convs = [spec["first_conv"], spec.get("feature_mix"), *(b.get(part) for b in blocks for part in PARTS)]
        parameters = sum(c[0] // c[4] * c[1] * c[2] ** 2 + 4 * c[1] for c in convs if c)
        parameters += (classifier[0] + 1) * classifier[1]
        if parameters > MOST_PARAMETERS:
            faults.append(f"it describes {parameters:,} parameters, more than {MOST_PARAMETERS:,}")
    if faults:
        more = f"; and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
        raise EdgewiseError(f"The MCUNet spec cannot be built: {'; '.join(faults[:FAULTS_SHOWN])}{more}.")


def _walk_block(where: str, block: Any, channels: int | None, faults: list[str]) -> int | None:
    if not isinstance(block, Mapping) or not isinstance(block.get("residual"), bool):
        faults.append(f"{where} must be an object with residual: true or false; it is {_short(block)}")
        return None
    convs = {name: block[name] for name in PARTS if block.get(name)}
    if not convs:
        faults.append(f"{where} has no convolution")
        return None
    inputs, before = channels, len(faults)
    for name, conv in convs.items():
        channels = _walk_conv(f"{where}.{name}", conv, channels, faults)
    if block["residual"] and len(faults) == before and (channels != inputs or any(c[3] != 1 for c in convs.values())):
        faults.append(f"{where} has a shortcut, but changes the shape")
    return channels


def _walk_conv(where: str, conv: Any, channels: int | None, faults: list[str]) -> int | None:
    """Check one convolution that is given ``channels`` (None: unknown); the channels it gives."""
    if not isinstance(conv, list) or len(conv) != 6 or not _whole_numbers(conv[:5], CONV_LIMITS):
        ranges = ", ".join(f"{n} {low}..{high}" for n, (low, high) in zip(CONV_FIELDS, CONV_LIMITS, strict=True))
        faults.append(f"{where} must be [{ranges}, relu6 true/false]; it is {_short(conv)}")
        return None
    inputs, outputs, kernel, _, groups, relu6 = conv
    if kernel % 2 == 0 or not isinstance(relu6, bool):
        faults.append(f"{where} needs an odd kernel and true or false for relu6; it is {_short(conv)}")
    if inputs % groups or outputs % groups:
        faults.append(f"{where} has {inputs} and {outputs} channels, which {groups} groups do not divide")
    if channels is not None and inputs != channels:
        faults.append(f"{where} takes {inputs} channels and is given {channels}")
    return int(outputs)


def _whole_numbers(values: Any, limits: tuple[tuple[int, int], ...]) -> bool:
    return (
        isinstance(values, list)
        and len(values) == len(limits)
        and all(type(v) is int and low <= v <= high for v, (low, high) in zip(values, limits, strict=True))
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _conv(fields: Any) -> ConvBnAct:
    inputs, outputs, kernel, stride, groups, relu6 = fields
    return ConvBnAct(inputs, outputs, kernel, stride, groups, act=relu6)


FAMILY = Family(
    "mcunet",
    MCUNet,
    "MCUNet and its relatives, built from the spec in the weight file",
    "Lin et al., MCUNet, NeurIPS 2020; Lin et al., On-Device Training Under 256KB Memory, NeurIPS 2022",
    Preprocess(128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    classes=1000,
    head="classifier",
    connectors=tuple(f"blocks.{i}" for i in (1, 3, 5, 7, 10, 13)),
    settings={"spec": SPEC},
)
