"""Two methods at once: settings of both, parameters of both, and reasons where it makes no sense."""

import pytest
import torch

from edgewise.adapt import METHODS, Bias, RepNet, adapt, method_class
from edgewise.adapt.combine import combined
from edgewise.backbones import load
from edgewise.core.errors import UsageError

Both = combined("repnet+bias", RepNet, Bias, "The side network and the biases.", "special use")


def test_a_combination_has_the_settings_of_both_and_the_first_ones_defaults():
    both = Both(connect="up", side_lr=0.5)
    assert (both.connect, both.wiring, both.lr, both.side_lr) == ("up", "reference", RepNet().lr, 0.5)
    assert (Both.name, Both.title) == ("repnet+bias", "Rep-Net + biases + head")
    assert Both() == Both() != both
    with pytest.raises(UsageError, match="connect is 'sideways'"):
        Both(connect="sideways")


def test_both_parts_train_and_nothing_else():
    backbone = load("pocket")
    model = adapt(backbone, Both(), ["a", "b"])
    one, other = (adapt(backbone, method, ["a", "b"]) for method in (RepNet(), Bias()))
    assert set(model.trainable()) == set(one.trainable()) | set(other.trainable())
    assert set(model.groups["main"]) == set(one.groups["main"])
    assert len(sum(model.groups.values(), ())) == len(model.trainable()), "no parameter trains twice"
    assert not Both.merges


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("repnet+full", "full trains every parameter already"),
        ("bias+last", "every method trains the last layer already"),
        ("repnet+bias", "train_bias=true"),
        ("bn+bn", "with itself"),
        ("bn+repnet", "no paper combines these"),
        ("repnt", "Did you mean 'repnet'"),
        ("repnet+bias2", "Did you mean 'bias'"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_reason(name, reason):
    with pytest.raises(UsageError, match=reason):
        method_class(name)


def test_what_merges_gives_a_plain_network_with_the_same_answers():
    images = torch.randn(2, 3, 32, 32)
    for name, kind in METHODS.items():
        model = adapt(load("pocket"), kind(), ["a", "b"]).eval()
        if not kind.merges:
            with pytest.raises(UsageError, match="does not merge"):
                model.merged()
            continue
        plain = model.merged()
        assert torch.equal(plain(images), model.network(images)), name
        assert plain is not model.network
