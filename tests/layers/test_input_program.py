import pytest
import torch
from torch import nn

from edgewise.core.errors import EdgewiseError
from edgewise.cost.kept import KeptBytes
from edgewise.layers.input_program import InputProgram


def test_nothing_is_added_at_the_start():
    for bounded in False, True:
        program, images = InputProgram(6, bounded), torch.randn(2, 3, 6, 6)
        assert torch.equal(program(images), images)
        assert program.program.shape == (3, 6, 6)


@pytest.mark.parametrize("bounded", [False, True])
def test_the_same_is_added_to_every_image(bounded):
    program, images = InputProgram(4, bounded), torch.randn(3, 3, 4, 4)
    with torch.no_grad():
        program.program.normal_(0, 3)
        added = program(images) - images
    expected = program.program.tanh() if bounded else program.program
    torch.testing.assert_close(added, expected.detach().expand(3, 3, 4, 4))
    assert (added.abs().max() <= 1 + 1e-6) == bounded


@pytest.mark.parametrize("bounded", [False, True])
def test_gradients(bounded):
    program, images = InputProgram(3, bounded).double(), torch.randn(2, 3, 3, 3, dtype=torch.float64)

    def added(p, x):
        return torch.func.functional_call(program, {"program": p}, x)

    arguments = torch.randn(3, 3, 3, dtype=torch.float64), images
    assert torch.autograd.gradcheck(added, [a.requires_grad_(True) for a in arguments])


@pytest.mark.parametrize("bounded", [False, True])
def test_no_image_is_kept(bounded):
    program, images = InputProgram(8, bounded), torch.randn(5, 3, 8, 8)
    with KeptBytes([*program.parameters()]) as kept:
        result = program(images)
    assert kept.total == (4 * program.program.numel() if bounded else 0)
    assert result.requires_grad


def test_images_of_another_size_are_refused():
    with pytest.raises(EdgewiseError, match=r"program is 3 x 8 x 8 and the images are 3 x 6 x 8: .*--image-size"):
        InputProgram(8)(torch.randn(2, 3, 6, 8))
    with pytest.raises(EdgewiseError, match="images are 3 x 1 x 1"):
        InputProgram(8)(torch.randn(2, 3, 1, 1))


def test_as_a_hook_it_leaves_the_network_alone():
    network, images = nn.Sequential(nn.Conv2d(3, 2, 1)), torch.randn(2, 3, 4, 4)
    program, keys = InputProgram(4), list(network.state_dict())
    with torch.no_grad():
        program.program.fill_(2)
    expected = network(images + 2)
    network.register_forward_pre_hook(program.before)
    assert torch.equal(network(images), expected)
    assert list(network.state_dict()) == keys
