"""Edgewise adapts a pretrained network to your own data on a small device.

::

    import edgewise as ew

    net = ew.load("mobilenet_v2", width=0.35, weights="w035.safetensors")   # or any nn.Module
    model = ew.adapt(net, ew.RepNet(), classes=["ant", "bee"])
    print(ew.cost(model, batch=(8, 3, 128, 128)))
    run = ew.fit(model, "photos/", epochs=6, out="runs/bees")
    ew.open("runs/bees").predict("photos/test/ant/1.jpg")

Names arrive when they are first used: ``import edgewise`` loads no torch and starts nothing.
Everything else is ``edgewise.<part>.<Name>``.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise.adapt import BatchNorm as BatchNorm
    from edgewise.adapt import Bias as Bias
    from edgewise.adapt import Full as Full
    from edgewise.adapt import LastLayer as LastLayer
    from edgewise.adapt import RepNet as RepNet
    from edgewise.adapt import adapt as adapt
    from edgewise.backbones import Backbone as Backbone
    from edgewise.backbones import load as load
    from edgewise.core.errors import EdgewiseError as EdgewiseError
    from edgewise.cost import cost as cost
    from edgewise.jobs.session import fit as fit
    from edgewise.jobs.session import open as open

__version__ = "0.1.0"

_HOMES = {
    "Backbone": "edgewise.backbones",
    "BatchNorm": "edgewise.adapt",
    "Bias": "edgewise.adapt",
    "EdgewiseError": "edgewise.core.errors",
    "Full": "edgewise.adapt",
    "LastLayer": "edgewise.adapt",
    "RepNet": "edgewise.adapt",
    "fit": "edgewise.jobs.session",
    "load": "edgewise.backbones",
    "open": "edgewise.jobs.session",
}
_VERBS = ("adapt", "cost")

__all__ = [*_HOMES, *_VERBS, "__version__"]


class _Verb(ModuleType):
    """A folder that is also a verb: ``ew.adapt(net, …)`` calls ``edgewise.adapt.adapt``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)[self.__name__.rpartition(".")[2]](*args, **kwargs)


class _Edgewise(ModuleType):
    """Importing ``edgewise.adapt`` hangs the folder here under the verb's name, so it must be callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _VERBS and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Edgewise


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return importlib.import_module(f"edgewise.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edgewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
