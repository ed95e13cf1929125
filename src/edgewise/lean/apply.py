"""Make a model lean in place, and back."""

from torch import nn

from edgewise.lean.forward import Alone, LeanForward
from edgewise.lean.settings import SMALL, Lean
from edgewise.lean.trace import LAYERS, Untraceable, trace


def make_lean(model: nn.Module, lean: Lean = SMALL) -> tuple[str, ...]:
    """Let ``model`` compute by a lean plan from now on; returns what could not be covered, in words.

    Modules, names, hooks and tensors stay as they are: only what a call of the model executes is
    exchanged, so ``state_dict`` is the same, key for key.  The plan follows the model: it is made
    anew when other parameters train, a norm changes its mode, or a batch has another shape.
    Where the model's ``forward`` cannot be followed, every layer of a known type is made lean for
    itself, and the functions between them keep what torch keeps.
    """
    make_plain(model)
    try:
        model.forward = LeanForward(model, trace(model), lean)
        return ()
    except Untraceable as reason:
        for layer in model.modules():
            known = isinstance(layer, LAYERS) or type(layer).__module__.startswith("torch.nn")
            if known and not any(layer.children()) and not layer._forward_hooks and not layer._forward_pre_hooks:
                _alone(layer, lean)
        return (
            f"{reason}. Its layers are lean one by one; functions between them keep whole tensors, "
            "as in stock PyTorch.",
        )


def make_plain(model: nn.Module) -> None:
    """Undo `make_lean`."""
    for module in model.modules():
        vars(module).pop("forward", None)


def _alone(layer: nn.Module, lean: Lean) -> None:
    try:
        alone = Alone(layer)
        layer.forward = LeanForward(alone, trace(alone), lean)
    except Untraceable:
        pass  # a layer of more than one tensor stays as it is
