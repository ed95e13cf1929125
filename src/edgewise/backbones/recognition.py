"""Which of our families, at which width, a set of tensors belongs to: seen in its names and shapes."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import seeded
from edgewise.backbones.families import FAMILIES
from edgewise.backbones.matching import compare, tensors_of
from edgewise.core.errors import EdgewiseError

WIDTHS = tuple(round(0.05 * step, 2) for step in range(1, 81))


def head_outputs(family: Family, tensors: Mapping[str, Tensor]) -> int | None:
    """Outputs of the family's head in ``tensors``; None where it is not among them."""
    weight = tensors.get(f"{family.head}.weight")
    return len(weight) if weight is not None and weight.ndim == 2 and len(weight) else None


def with_own_head(family: Family, module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` with the head of ``module`` in place of theirs, if they have one."""
    own = {name: tensor for name, tensor in tensors_of(module).items() if _in_head(family, name)}
    return {**{name: tensor for name, tensor in tensors.items() if not _in_head(family, name)}, **own}


def width_in(family: Family, tensors: Mapping[str, Tensor]) -> float | None:
    """The width, a multiple of 0.05, at which the family has exactly these shapes, its head apart."""
    assert family.widths is not None
    low, high = family.widths
    widths = [width for width in WIDTHS if low <= width <= high]

    def body_size(state: Mapping[str, Tensor]) -> int:
        return sum(t.numel() for name, t in state.items() if not _in_head(family, name))

    # A network grows with its width, so the one of this size is found by halving.
    wanted = body_size({name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")})
    index = bisect_left(widths, wanted, key=lambda width: body_size(tensors_of(_built(family, width=width))))
    fits = index < len(widths) and _fits(family, _built(family, width=widths[index]), tensors)
    return widths[index] if fits else None


def fitting(tensors: Mapping[str, Tensor], spec: Any = None) -> list[str]:
    """The options that open ``tensors``, such as ``--backbone mobilenet_v2 --width 0.35``."""
    found = []
    for family in FAMILIES.values():
        if family.widths is not None:
            width = width_in(family, tensors)
            found += [] if width is None else [f"--backbone {family.name} --width {width:g}"]
            continue
        try:
            module = _built(family, **({"spec": spec} if spec is not None and "spec" in family.settings else {}))
        except EdgewiseError:
            continue
        found += [f"--backbone {family.name}"] if _fits(family, module, tensors) else []
    return found


def _fits(family: Family, module: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    return not compare(module, with_own_head(family, module, tensors))


def _built(family: Family, **settings: Any) -> nn.Module:
    with seeded(0):
        return family.build(classes=1, **{**family.settings, **settings})


def _in_head(family: Family, name: str) -> bool:
    return name.startswith(f"{family.head}.")
