"""Make a model lean in place, and back."""

from collections.abc import Hashable, Iterable

from torch import Tensor, nn

from edgewise.lean.forward import Alone, LeanForward
from edgewise.lean.frozen import hold_all_float, hold_frozen_int8
from edgewise.lean.planning import RunStep
from edgewise.lean.settings import SMALL, Lean
from edgewise.lean.trace import LAYERS, Untraceable, trace


def make_lean(model: nn.Module, lean: Lean = SMALL, images: Iterable[Tensor] = ()) -> tuple[str, ...]:
    """Let ``model`` compute by a lean plan from now on; returns what could not be covered, in words.

    Modules, names, hooks and tensors stay as they are: only what a call of the model executes is
    exchanged, so ``state_dict`` is the same, key for key.  The plan follows the model: it is made
    anew when other parameters train, a norm changes its mode, or a batch has another shape.
    Where the model's ``forward`` cannot be followed, every layer of a known type is made lean for
    itself, and the functions between them keep what torch keeps.

    With ``lean.frozen_bits`` 8 the weights of frozen convolutions are held in 8 bits from then on, and
    what that moves is corrected on ``images`` (a few batches as the model takes them; none: not at
    all).  ``state_dict`` still gives floats under the same keys: rounded weights, corrected norms.  A
    weight in 8 bits cannot be made to train; `make_plain` comes first.  Where ``forward`` cannot be
    followed, 32 bits stay.  Raises `EdgewiseError` where such a weight is not finite.
    """
    _own_forwards(model)
    if lean.frozen_bits == 32:
        hold_all_float(model)
    try:
        graph = trace(model)
        notes = hold_frozen_int8(model, graph, images) if lean.frozen_bits == 8 else ()
        model.forward = LeanForward(model, graph, lean)
        return notes
    except Untraceable as reason:
        for layer in model.modules():
            known = isinstance(layer, LAYERS) or type(layer).__module__.startswith("torch.nn")
            if known and not any(layer.children()) and not layer._forward_hooks and not layer._forward_pre_hooks:
                _alone(layer, lean)
        return (
            f"{reason}. Its layers are lean one by one; functions between them keep whole tensors, "
            f"as in stock PyTorch{', and frozen weights stay in 32 bits' if lean.frozen_bits == 8 else ''}.",
        )


def make_plain(model: nn.Module) -> None:
    """Undo `make_lean`.  Weights held in 8 bits become floats again, with the rounded values."""
    _own_forwards(model)
    hold_all_float(model)


def is_lean(model: nn.Module) -> bool:
    """Does ``model`` as a whole compute by a lean plan?"""
    return isinstance(vars(model).get("forward"), LeanForward)


def kept_bytes(model: nn.Module, images: Tensor) -> int:
    """What a lean model plans to keep of a batch like ``images`` in its present mode; 0 for one that is not lean."""
    forward = vars(model).get("forward")
    return forward.steps(images).kept if isinstance(forward, LeanForward) else 0


def arrangement(model: nn.Module, images: Tensor) -> Hashable:
    """How a lean model will take a batch like ``images``: equal for two settings that come to the same."""
    forward = vars(model).get("forward")
    if not isinstance(forward, LeanForward):
        return None
    runs = [step.plan for step in forward.steps(images).steps if isinstance(step, RunStep)]
    return tuple(
        (plan.chunk, tuple((needs, analysis.stretches) for needs, analysis in plan.analyses.items())) for plan in runs
    )


def _own_forwards(model: nn.Module) -> None:
    for module in model.modules():
        vars(module).pop("forward", None)


def _alone(layer: nn.Module, lean: Lean) -> None:
    try:
        alone = Alone(layer)
        layer.forward = LeanForward(alone, trace(alone), lean)
    except Untraceable:
        pass  # a layer of more than one tensor stays as it is
