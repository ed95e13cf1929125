"""A quantised network as C: ``network.h`` with the sizes of arrays, ``network.c`` with constants."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edgewise.compress import Add, Bend, Conv, Multiply, Op, Packed, Pool, Subsample, weight_shape
from edgewise.export.following import curve_of
from edgewise.export.layout import Layout, laid_out
from edgewise.export.limits import check, check_sizes, entries_of
from edgewise.export.packing import packed_codes, sums_taken
from edgewise.export.quantise import IntegerNetwork, IntegerStep
from edgewise.export.rules import Ints

CURVES = {"hswish": "EW_HSWISH", "hsigmoid": "EW_HSIGMOID"}
KINDS = {Add: "EW_ADD", Multiply: "EW_MULTIPLY", Subsample: "EW_SUBSAMPLE", Bend: "EW_BEND"}
POOLS = {"max": "EW_LARGEST", "mean": "EW_MEAN"}
FLOAT_RANGE = {"relu": (0.0, None), "relu6": (0.0, 6.0)}
ENDLESS = "3.4e38f"
LIST_END, MEANING = 4, 18  # entries behind a list; bytes of a byte's meaning (edgewise.c)


@dataclass
class _Arrays:
    """The constants so far, by array."""

    stored: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    float_weights: list[float] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    float_rules: list[str] = field(default_factory=list)
    tables: list[Ints] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """``header`` is network.h, ``content`` network.c.  ``memory``: bytes of the program's arrays that change;
    ``constants``: of weights, codes, rules and tables; both in integers."""

    header: str
    content: str
    memory: int
    constants: int


def sources(network: IntegerNetwork) -> Sources:
    """Raises `UsageError` for what the C program cannot run (`edgewise.export.limits`)."""
    check(network.network)
    layout, arrays = laid_out(network), _Arrays()
    check_sizes(network, layout)
    steps = [_step(network, layout, arrays, number) for number in range(1, len(network.values))]
    sample, rule = network.bits // 8, network.bits  # bytes: a rule is 8 or 16, too
    constants = len(arrays.stored) + len(arrays.codes) + len(arrays.weights) * sample + len(arrays.rules) * rule
    constants += (sum(map(len, arrays.tables)) + network.pixels.size) * sample
    distances, taps = _lists(network, layout)
    memory = layout.arena * sample + distances * 4 + (taps + LIST_END) * 2 * 2 + 256 * MEANING + 1
    return Sources(_header(network, layout), _content(network, arrays, steps), memory, constants)


def _lists(network: IntegerNetwork, layout: Layout) -> tuple[int, int]:
    """The most distances of a filter, and the most weights of a ternary one."""
    each = [(step, pairs, entries_of(step, pairs)) for step, pairs in zip(network.steps, layout.pairs, strict=True)]
    ternary = [entries // (1 + pairs) for step, pairs, entries in each if _packed(step) is not None]
    return max(entries for _, _, entries in each), max(ternary, default=1)


def _packed(step: IntegerStep) -> Packed | None:
    op = step.step.op
    return op.weight if isinstance(op, Conv) and isinstance(op.weight, Packed) else None


def _header(network: IntegerNetwork, layout: Layout) -> str:
    given = network.network.preprocess
    distances, taps = _lists(network, layout)
    sizes = {
        "EW_BITS": network.bits,
        "EW_SIDE": given.size,
        "EW_RESIZE": given.resize,
        "EW_CLASSES": len(network.network.classes),
        "EW_LOGIT": _float(network.values[-1].scale),
        "EW_STEPS": len(network.steps),
        "EW_IMAGE": _map(network, layout, 0),
        "EW_ARENA": layout.arena,
        "EW_DISTANCES": distances,
        "EW_TAPS": taps,
    }
    lines = "\n".join(f"#define {name} {value}" for name, value in sizes.items())
    return f"/* Made by edgewise export: sizes of the network. */\n{lines}\n"


def _content(network: IntegerNetwork, arrays: _Arrays, steps: Iterable[str]) -> str:
    given = network.network.preprocess
    colours = [(np.arange(256) / 255 - mean) / std for mean, std in zip(given.mean, given.std, strict=True)]
    names = _lines(f"    {quoted(name)}" for name in network.network.classes)
    tables = "".join(f"static const ew_sample table{i}[257] = {_braces(t)};\n" for i, t in enumerate(arrays.tables))
    return f"""/* Made by edgewise export: the network's constants. */
#include "edgewise.h"

const char *const edgewise_classes[EW_CLASSES] = {{
{names}}};

{_array("uint8_t", "stored", arrays.stored)}{_array("uint8_t", "codes", arrays.codes)}
#ifdef EW_FLOAT
{_array("ew_weight", "weights", map(_float, arrays.float_weights))}{_array("ew_rule", "rules", arrays.float_rules)}
const ew_sample ew_pixels[3][256] = {{
{_lines(_braces(map(_float, colour)) for colour in colours)}}};
#else
{_array("ew_weight", "weights", arrays.weights)}{_array("ew_rule", "rules", arrays.rules)}{tables}
const ew_sample ew_pixels[3][256] = {{
{_lines(_braces(colour) for colour in network.pixels)}}};
#endif

const ew_step ew_steps[] = {{
{_lines(steps)}}};
"""


def _step(network: IntegerNetwork, layout: Layout, arrays: _Arrays, number: int) -> str:
    step = network.steps[number - 1]
    op = step.step.op
    fields: dict[str, object] = {"kind": _kind(op), "curve": CURVES.get(curve_of(op), "EW_CLAMP")}
    fields |= {"last": int(number == len(network.steps)), "kernel_y": 1, "kernel_x": 1, "stride_y": 1, "stride_x": 1}
    fields |= {"groups": 1, "rules": f"rules + {len(arrays.rules)}"}
    if isinstance(op, Conv):
        fields |= _convolution(op, step, layout, arrays, number)
    elif isinstance(op, Pool):
        fields |= dict(zip(("kernel_y", "kernel_x", "stride_y", "stride_x"), (*op.kernel, *op.stride), strict=True))
        fields |= {"top": op.padding[0], "left": op.padding[1]}
    elif isinstance(op, Subsample):
        fields |= {"stride_y": op.stride, "stride_x": op.stride, "before": op.before}
    for name, value in zip(("a", "b"), step.step.operands, strict=False):
        fields[name] = _map(network, layout, value)
    fields["out"] = _map(network, layout, number)
    _add_rules(step, arrays, network.bits, layout.pairs[number - 1])
    common = ", ".join(f".{name} = {value}" for name, value in fields.items())
    low, high = FLOAT_RANGE.get(curve_of(op), (None, None))
    table = "0"
    if step.table is not None:
        table = f"table{len(arrays.tables)}"
        arrays.tables.append(step.table)
    return f"""    {{{common},
#ifdef EW_FLOAT
     .low = {f"-{ENDLESS}" if low is None else _float(low)}, .high = {ENDLESS if high is None else _float(high)}}}
#else
     .low = {step.low}, .high = {step.high}, .table = {table}}}
#endif
    """


def _kind(op: Op) -> str:
    if isinstance(op, Conv):
        return "EW_TERNARY" if isinstance(op.weight, Packed) else "EW_DENSE"
    return POOLS[op.kind] if isinstance(op, Pool) else KINDS[type(op)]


def _convolution(op: Conv, step: IntegerStep, layout: Layout, arrays: _Arrays, number: int) -> dict[str, object]:
    kernel, copy, paired = weight_shape(op)[2:], layout.copies[number - 1], layout.pairs[number - 1]
    fields: dict[str, object] = {"kernel_y": kernel[0], "kernel_x": kernel[1], "groups": op.groups}
    fields |= {"stride_y": op.stride[0], "stride_x": op.stride[1], "top": op.padding[0], "left": op.padding[2]}
    if copy:
        fields |= {"gathers": 1, "rows": copy.rows, "above": copy.above, "ahead": copy.ahead}
        fields["gathered"] = layout.copies_at[number - 1]
    assert step.weight is not None
    if isinstance(op.weight, Packed):
        fields |= {"slab": op.weight.slab, "pairs": int(paired), "sums": layout.sums_at[number - 1]}
        fields |= {"stored": f"stored + {len(arrays.stored)}", "codes": f"codes + {len(arrays.codes)}"}
        bits, codes = packed_codes(op.weight.ternary.codes.numpy(), op.weight.slab, paired)
        arrays.stored += bits.tolist()
        arrays.codes += codes.ravel().tolist()
    else:
        fields["weights"] = f"weights + {len(arrays.weights)}"
        arrays.weights += step.weight.ravel().tolist()
        arrays.float_weights += op.weight.ravel().tolist()
    return fields


def _add_rules(step: IntegerStep, arrays: _Arrays, bits: int, paired: bool) -> None:
    op, rule, packed = step.step.op, step.rule, _packed(step)
    offset = rule.offset
    if paired and packed is not None:  # sums of two channels are held less the middle of their range
        assert int(rule.before.max()) < bits, "the middle would be rounded"
        middle = sums_taken(packed.ternary.codes.numpy()) << (bits - 1)
        offset = offset + (middle >> rule.before) * rule.multiplier
    columns = (offset, rule.multiplier, rule.shift, rule.before)
    arrays.rules += [_braces(row) for row in zip(*(part.tolist() for part in columns), strict=True)]
    pairs = [(1.0, 0.0)] * len(rule.offset)
    if isinstance(op, Conv):
        alpha = packed.ternary.alpha if packed is not None else 1.0
        pairs = list(zip((op.scale * alpha).tolist(), op.offset.tolist(), strict=True))
    elif isinstance(op, Pool) and op.kind == "mean":
        pairs = [(1 / (op.kernel[0] * op.kernel[1]), 0.0)]
    arrays.float_rules += [_braces(map(_float, pair)) for pair in pairs]


def _map(network: IntegerNetwork, layout: Layout, value: int) -> str:
    return _braces([layout.at[value], *network.values[value].shape, layout.margins[value]])


def _float(value: float) -> str:
    return f"{float(np.float32(value))!r}f"


def _array(kind: str, name: str, items: Iterable[object]) -> str:
    """An array that some step reads; nothing where it is empty, since C has no such array."""
    content = list(items)
    return f"static const {kind} {name}[] = {_braces(content)};\n" if content else ""


def _braces(items: Iterable[object]) -> str:
    return f"{{{', '.join(map(str, items))}}}"


def _lines(parts: Iterable[str]) -> str:
    return ",\n".join(parts)


def quoted(text: str) -> str:
    """A C string of its UTF-8 bytes; nothing in it is a trigraph or ends the string."""
    safe = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(safe)}"'
