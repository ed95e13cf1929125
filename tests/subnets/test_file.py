"""The file of several sub-nets: weights once, masks in bits, and what it refuses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import EdgewiseError
from edgewise.subnets import bytes_of, put_tensors, tensors_of
from edgewise.subnets.file import packed, unpacked
from subnets_small import passed, sub_nets


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_a_mask_comes_back_and_takes_a_bit_a_weight(bits):
    mask = torch.tensor(bits)
    assert torch.equal(unpacked(packed(mask), (len(bits),)), mask)
    assert packed(mask).shape == (-(-len(bits) // 8),)
    assert packed(mask).dtype == torch.uint8


def test_the_first_weight_is_the_lowest_bit():
    assert packed(torch.tensor([True, False, True] + 5 * [False] + [True])).tolist() == [5, 1]


@pytest.mark.parametrize("norms", ["private", "shared"])
def test_what_is_read_is_what_was_written(norms):
    net, other = sub_nets((0.6, 0.3), norms=norms), sub_nets((0.6, 0.3), norms=norms)
    for number in (0, 1):
        net.use(number)
        passed(net, None)
    with torch.no_grad():
        net.layers["second"].weight.add_(1)
    tensors = {name: tensor.clone() for name, tensor in tensors_of(net).items()}
    put_tensors(other, tensors, "FILE")
    x = torch.randn(3, 3, 16, 16)
    for name in net.names:
        net.use(name)
        other.use(name)
        assert torch.equal(net.eval()(x), other.eval()(x))
        assert all(torch.equal(net.masks(name)[layer], other.masks(name)[layer]) for layer in net.layers)
    weights = sum("second.weight" in name for name in tensors)
    assert weights == 1, "weights are there once"


def test_weights_that_no_sub_net_has_are_stored_as_zeros():
    net = sub_nets((0.6, 0.3))
    stored = tensors_of(net)["weights/third.weight"]
    assert torch.equal(stored != 0, net.owned()["third"])


def test_what_a_sub_net_adds_is_its_masks_and_norms():
    found = bytes_of(sub_nets((0.6, 0.3)))
    assert found["70%"] == {"masks": (576 + 1152 + 32) // 8, "norms": 4 * 4 * 32 + 3 * 8}
    assert found["weights"] == {"bytes": 4 * (8 * 27 + 576 + 1152 + 34)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("masks/70%/third"), "masks/70%/third is missing"),
        (lambda t: t.update({"masks/80%/third": t["masks/70%/third"]}), "masks/80%/third belongs to nothing"),
        (lambda t: t.update({"masks/70%/third": t["masks/70%/third"][:-1]}), "does not match its weights: masks/70%/"),
        (lambda t: t.update({"masks/70%/third": t["masks/70%/third"].int()}), "does not match its weights: masks/70%/"),
        (lambda t: t.update({"weights/third.weight": torch.zeros(2)}), r"weights/third.weight is \(2,\)"),
    ],
)
def test_a_file_that_does_not_match_is_refused_and_nothing_is_changed(change, said):
    net = sub_nets((0.6, 0.3))
    tensors, before = tensors_of(sub_nets((0.6, 0.3))), {k: t.clone() for k, t in net.state_dict().items()}
    change(tensors)
    with pytest.raises(EdgewiseError, match=said):
        put_tensors(net, tensors, "FILE")
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())
