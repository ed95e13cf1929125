"""A float `Network` as integers: what every value is held in, and how each step comes from one scale to the next.

    value   = scale x integer, one scale a value, no offset: zero is 0, so padding and absent groups cost nothing
    weights   ternary codes as they are; others in 8 bits (16 with 16-bit activations), a scale for each filter
    sums      32 bits, exact; brought to the next scale by a multiplier and a shift (`edgewise.export.rules`)
    curves    clamps; hswish and hsigmoid by a table over all values of a sample

Scales are calibrated on photos: the one with the smallest squared error, a little of the largest values clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewise.compress import Add, Bend, Conv, Multiply, Network, Packed, Pool, Shape, Step, Subsample, shapes
from edgewise.core.errors import UsageError
from edgewise.export.following import CURVES, curve_of, followed
from edgewise.export.rules import Floats, Ints, Rule, rule

BITS = (8, 16)
NOT_NEGATIVE = ("relu", "relu6", "hsigmoid")
FLAT = {"hswish": (-3.0, np.inf), "hsigmoid": (-3.0, 3.0)}  # where curves that no clamp gives are not constant
TABLES = tuple(FLAT)
LOGIT_BITS, LOGIT_ROOM = 16, 2.0  # of the largest logit seen
SUM_OF_WEIGHTS = 60_000  # of a filter in 16 bits: times the largest sample it stays within 32 bits
SHARES = np.linspace(0.3, 1.0, 29)  # of the largest value, tried as clipping points
CLIPPED_BELOW = 1 << 8  # largest integer; with 16 bits steps are so small that clipping is all the error
SEEN = 1 << 14  # numbers of a value that are looked at


@dataclass(frozen=True)
class Held:
    """A value (C, H, W): ``scale`` times integers from ``low`` to ``high``."""

    shape: Shape
    scale: float
    low: int
    high: int


@dataclass(frozen=True)
class IntegerStep:
    """A step of the network in integers.

    ``weight``: (N, C / groups, K, K) codes or integers of a convolution.  ``rule``: one entry a filter; for an addition
    one for each operand (of the second the multiplier alone counts); else one.  The result is clamped to ``low`` and
    ``high`` and, where there is a ``table``, looked up in it: 257 numbers over all samples and one beyond.
    """

    step: Step
    weight: Ints | None
    rule: Rule
    low: int
    high: int
    table: Ints | None


@dataclass(frozen=True)
class IntegerNetwork:
    """What the C program computes.  ``pixels`` (3, 256): what a byte of each colour becomes."""

    network: Network
    bits: int
    pixels: Ints
    values: tuple[Held, ...]
    steps: tuple[IntegerStep, ...]


def quantised(network: Network, images: NDArray[np.uint8], bits: int = 8) -> IntegerNetwork:
    """``network`` in integers; ``images`` (N, S, S, 3) are photos to calibrate on, as the network will see them."""
    if bits not in BITS:
        raise UsageError(f"Activations have 8 or 16 bits, not {bits}.")
    if not len(images):
        raise UsageError("There is no photo to calibrate on: name some with --calibrate.")
    known, top = shapes(network), 2 ** (bits - 1) - 1
    befores, afters = _ranges(network, torch.from_numpy(images).permute(0, 3, 1, 2), top)
    pixels = _pixels(network)
    image = Held(known[0], float(np.abs(pixels).max()) / top, -top, top)
    values, steps = [image], []
    for number, (step, shape) in enumerate(zip(network.steps, known[1:], strict=True), 1):
        last = number == len(network.steps)
        held = _held(step, shape, [values[o] for o in step.operands], afters[number], top)
        if last:
            held = Held(shape, afters[number] * LOGIT_ROOM / 2 ** (LOGIT_BITS - 1), 1 - 2**15, 2**15 - 1)
        steps.append(_integer(step, held, [values[operand] for operand in step.operands], befores[number], bits))
        values.append(held)
    return IntegerNetwork(network, bits, np.rint(pixels / image.scale).astype(np.int64), tuple(values), tuple(steps))


def _pixels(network: Network) -> Floats:
    given = network.preprocess
    mean, std = (np.array(part, np.float64)[:, None] for part in (given.mean, given.std))
    result: Floats = (np.arange(256) / 255 - mean) / std
    return result


def _ranges(network: Network, images: Tensor, top: int) -> tuple[list[float], list[float]]:
    """Where to clip every value before its curve, and after it."""
    befores, afters = [], []
    curves = ["none", *(curve_of(step.op) for step in network.steps)]
    for curve, (before, after) in zip(curves, followed(network, images), strict=True):
        afters.append(_clipping(after, top))
        low, high = FLAT.get(curve, (0.0, 0.0))
        befores.append(_clipping(before.clamp(low, high), top) if curve in TABLES else afters[-1])
    return befores, afters


def _clipping(x: Tensor, top: int) -> float:
    """The clipping point with the smallest squared error; 1 where everything is 0."""
    low, high = x.aminmax()
    largest = max(-float(low), float(high))
    if largest == 0:
        return 1.0
    if top > CLIPPED_BELOW:
        return largest
    seen = x.flatten()[:: max(1, x.numel() // SEEN)].abs().double().numpy()
    steps = largest * SHARES[:, None] / top
    errors = ((np.minimum(np.rint(seen / steps), top) * steps - seen) ** 2).mean(1)
    return float(largest * SHARES[len(SHARES) - 1 - int(np.argmin(errors[::-1]))])


def _held(step: Step, shape: Shape, given: Sequence[Held], clipping: float, top: int) -> Held:
    op, curve = step.op, curve_of(step.op)
    if isinstance(op, Subsample) or (isinstance(op, Pool) and op.kind == "max"):
        return Held(shape, given[0].scale, given[0].low, given[0].high)
    if curve in NOT_NEGATIVE:
        low = 0
    elif isinstance(op, Conv | Add | Bend):
        low = -top
    else:
        low = min(0, *(held.low for held in given))  # a pool's mean; a product with a gate
    return Held(shape, (1.0 if curve == "hsigmoid" else clipping) / top, low, top)


def _integer(step: Step, held: Held, given: Sequence[Held], before: float, bits: int) -> IntegerStep:
    op, curve, top = step.op, curve_of(step.op), 2 ** (bits - 1) - 1
    scale, low, high, table = held.scale, held.low, held.high, None
    if curve in TABLES:
        scale, low, high = before / top, -top, top
        table = _table(curve, scale, held, bits)
    elif curve == "relu6":
        high = min(high, round(6 / scale))
    first, most = given[0], float(max(-given[0].low, given[0].high))
    weight, one = None, np.ones(1)
    if isinstance(op, Conv):
        weight, scales = _weights(op, bits)
        ratio = scales * first.scale / scale
        sums = np.abs(weight).sum((1, 2, 3)) * most
        found = rule(ratio, op.offset.double().numpy() / scale, sums, bits)
    elif isinstance(op, Add):
        found = _added([each.scale / scale for each in given], bits)
    elif isinstance(op, Multiply):
        second = float(max(-given[1].low, given[1].high))
        found = rule(one * first.scale * given[1].scale / scale, 0 * one, one * most * second, bits)
    elif isinstance(op, Pool) and op.kind == "mean":
        count = op.kernel[0] * op.kernel[1]
        found = rule(one * first.scale / scale / count, 0 * one, one * count * most, bits)
    elif isinstance(op, Bend):
        found = rule(one * first.scale / scale, 0 * one, one * most, bits)
    else:
        found = rule(one, 0 * one, one * most, bits)
    return IntegerStep(step, weight, found, low, high, table)


def _weights(conv: Conv, bits: int) -> tuple[Ints, Floats]:
    """Integers, and what one of them is worth in every filter."""
    scale = conv.scale.double().numpy()
    if isinstance(conv.weight, Packed):
        codes = conv.weight.ternary.codes
        return codes.numpy().astype(np.int64), scale * conv.weight.ternary.alpha
    weight = conv.weight.double().numpy()
    worth = np.abs(weight).max((1, 2, 3)) / (2 ** (bits - 1) - 1)
    if bits == 16:
        worth = np.maximum(worth, np.abs(weight).sum((1, 2, 3)) / SUM_OF_WEIGHTS)
    worth = np.where(worth > 0, worth, 1.0)
    return np.rint(weight / worth[:, None, None, None]).astype(np.int64), scale * worth


def _added(ratios: Sequence[float], bits: int) -> Rule:
    """Two multipliers with the same shift."""
    each = rule(np.array(ratios), np.zeros(2), np.full(2, 2.0 ** (bits + 1)), bits)
    shift = np.full(2, each.shift.min())
    multiplier = np.rint(np.array(ratios) * 2.0**shift).astype(np.int64)
    return Rule(1 << shift >> 1, multiplier, shift, np.zeros(2, np.int64))


def _table(curve: str, scale: float, held: Held, bits: int) -> Ints:
    """257 numbers: with 8 bits one for every sample from -128, with 16 every 256th, between which lines are drawn."""
    x = torch.arange(-128, 129, dtype=torch.float64) * (scale * 2 ** (bits - 8))
    y = CURVES[curve](x).numpy() / held.scale
    result: Ints = np.clip(np.rint(y), held.low, held.high).astype(np.int64)
    return result
