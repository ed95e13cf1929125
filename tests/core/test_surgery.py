"""Swapping parts of a module, and proving what did not move."""

import math

import pytest
import torch
from torch import nn

from edgewise.core.surgery import all_finite, digest, replace, train_only


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))


def test_replace_reaches_a_nested_part() -> None:
    net, new = network(), nn.Identity()
    replace(net, "1.1", new)
    assert net[1][1] is new
    replace(net, "0", new)
    assert net[0] is new


def test_replace_refuses_a_part_that_has_no_parent() -> None:
    with pytest.raises(AttributeError):
        replace(network(), "body.1", nn.Identity())


def test_train_only() -> None:
    net = network()
    train_only(net, ["0.bias", "1.0.weight"])
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["0.bias", "1.0.weight"]
    train_only(net, [])
    assert not any(p.requires_grad for p in net.parameters())


def test_train_only_names_what_is_not_there() -> None:
    net = network()
    with pytest.raises(KeyError, match=r"not parameters of this module: \['1.0.gain', 'head'\]"):
        train_only(net, ["0.bias", "head", "1.0.gain"])


def test_digest_is_of_values_not_of_storage() -> None:
    plain = torch.arange(24.0).reshape(1, 2, 3, 4)
    strided = plain.to(memory_format=torch.channels_last)
    assert plain.stride() != strided.stride()
    assert digest({"a": plain}) == digest({"a": strided}) == digest({"a": plain.clone().requires_grad_()})


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.zeros(2, 3).index_fill_(0, torch.tensor([1]), 1e-45)},
        {"a": -torch.zeros(2, 3)},
        {"a": torch.zeros(2, 3), "b": torch.zeros(0)},
        {},
    ],
)
def test_digest_sees_every_difference(other: dict[str, torch.Tensor]) -> None:
    assert digest({"a": torch.zeros(2, 3)}) != digest(other)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_digest_takes_every_type_and_scalars(dtype: torch.dtype) -> None:
    zero, one = torch.tensor(0, dtype=dtype), torch.tensor(1, dtype=dtype)
    assert digest({"a": zero}) != digest({"a": one})


def test_digest_does_not_depend_on_the_order() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    assert digest({"a": a, "b": b}) == digest({"b": b, "a": a}) != digest({"a": b, "b": a})


@pytest.mark.parametrize(
    ("values", "finite"),
    [([1.0, -3e38], True), ([], True), ([0.0, math.inf], False), ([-math.inf], False), ([1.0, math.nan, 2.0], False)],
)
def test_all_finite(values, finite):
    assert all_finite(torch.tensor(values)) is finite
