"""Putting a method on a backbone."""

import gc
import weakref

from edgewise.adapt import METHODS, adapt_in_place
from edgewise.backbones import load


def test_the_old_head_is_let_go_of_at_once():
    """Under a budget it counts: 5 MB of a classifier of 1,000 classes, until a collector comes."""
    gc.collect()
    gc.disable()
    try:
        backbone = load("pocket")
        old = weakref.ref(backbone.module.get_submodule(backbone.head))
        model = adapt_in_place(backbone, METHODS["repnet"](), ["a", "b"])
        assert model.trainable()
        assert old() is None
    finally:
        gc.enable()
