"""Programs that make images of what is none, and the one whose size trains: by hand, by twins, by gradcheck."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram import (
    FrequencyMap,
    Overlay,
    Pad,
    Reprogrammed,
    Resize,
    Space,
    TokenPatch,
    WhiteBox,
    of_backbone,
)  # fmt: skip
from edgewise.reprogram.base import InputTransform
from edgewise.reprogram.transforms.overlay import OverlayProgram
from edgewise.reprogram.transforms.pad import PadProgram
from edgewise.reprogram.transforms.resize import ResizeProgram
from edgewise.reprogram.transforms.token_patch import TokenPatchProgram

CANVAS = Space((3, 12, 10), 0.0, 1.0)
WORDS, ROW = Space((4,), symbols=6), Space((5,))


def drawn(program: nn.Module, seed: int = 0, spread: float = 0.5) -> None:
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in program.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=random))


def test_symbols_stand_in_raster_order_and_nothing_behind_them() -> None:
    """Against loops: patch k of a sample at row k // columns, and that of symbol 0 to the end."""
    program = TokenPatch(patch=4).build(WORDS, CANVAS)
    assert isinstance(program, TokenPatchProgram)
    drawn(program)
    samples = torch.tensor([[3, 1, 5, 1], [2, 2, 0, 0]])
    expected = torch.full((2, 3, 12, 10), 0.5)
    for number, sample in enumerate(samples.tolist()):
        for cell, symbol in enumerate([*sample, 0, 0]):
            top, left = 4 * (cell // 2), 4 * (cell % 2)
            expected[number, :, top : top + 4, left : left + 4] += 0.5 * program.weight[symbol].tanh()
    found = program(samples)
    torch.testing.assert_close(found, expected)
    assert bool((found[:, :, :, 8:] == 0.5).all()), "columns that no patch reaches show the base"


def test_patches_start_apart_and_the_same_every_time() -> None:
    first, again, other = (TokenPatch(patch=4, seed=seed).build(WORDS, CANVAS) for seed in (1, 1, 2))
    sentence = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(first(sentence), again(sentence))
    assert not torch.equal(first(sentence), other(sentence))
    assert not torch.equal(first(sentence), first(torch.tensor([[4, 3, 2, 1]])))


def test_patches_upon_a_picture_change_it_by_so_much_at_most(tmp_path: Path) -> None:
    """The bounded variant: every pixel within alpha of the picture's, and the program is opened without the file."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "base.png")
    transform = TokenPatch(patch=3, alpha=0.2, base=str(tmp_path / "base.png"))
    program = transform.build(WORDS, CANVAS)
    assert isinstance(program, TokenPatchProgram)
    drawn(program, spread=9)
    picture = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
    apart = (program(torch.tensor([[1, 2, 3, 4]])) - picture).detach().abs()
    assert float(apart.max()) <= 0.2 + 1e-6
    assert float(apart.max()) > 0.19
    torch.testing.assert_close(program.base, picture)
    source = WhiteBox(nn.Sequential(nn.Flatten(), nn.Linear(360, 6)), CANVAS, 6)
    words, labels = np.random.default_rng(0).integers(0, 6, (12, 4)), np.arange(12) % 3
    model = Reprogrammed(source, transform, epochs=1).fit(words, labels)
    model.save(tmp_path / "program")
    (tmp_path / "base.png").unlink()
    again = Reprogrammed.load(tmp_path / "program", source)
    assert np.array_equal(again.predict_proba(words), model.predict_proba(words))
    with pytest.raises(EdgewiseError, match=r"base\.png cannot be read"):
        transform.build(WORDS, CANVAS)


def test_a_grey_picture_and_a_grey_source(tmp_path: Path) -> None:
    Image.new("L", (3, 3), 255).save(tmp_path / "white.png")
    transform = TokenPatch(patch=4, alpha=0.1, base=str(tmp_path / "white.png"))
    white = transform.build(WORDS, Space((1, 8, 8), -1.0, 1.0))(torch.tensor([[1, 2, 3, 4]]))
    assert float(white.detach().min()) >= 1 - 0.1 * 2 - 1e-6
    with pytest.raises(UsageError, match="1 or 3 colours, and the source reads 2"):
        transform.build(WORDS, Space((2, 8, 8), 0.0, 1.0))


def test_numbers_stand_as_blocks_in_the_middle() -> None:
    """Against loops; five numbers take a square of three columns and two rows."""
    program = Overlay(block=3).build(ROW, CANVAS)
    assert isinstance(program, OverlayProgram)
    drawn(program)
    samples = torch.randn(2, 5)
    inner = program.weight.expand(2, -1, -1, -1).clone()
    for number, row in enumerate(samples):
        for place, value in enumerate(row):
            top, left = 3 + 3 * (place // 3), 0 + 3 * (place % 3)
            inner[number, :, top : top + 3, left : left + 3] += value * program.pattern[place]
    torch.testing.assert_close(program(samples), 0.5 + 0.5 * inner.tanh())


def test_numbers_with_a_range_are_scaled_and_others_are_taken_as_they_are() -> None:
    scaled, raw = (Overlay(block=3).build(space, CANVAS) for space in (Space((5,), 10.0, 30.0), ROW))
    torch.testing.assert_close(
        scaled(torch.tensor([[10.0, 30, 20, 25, 15]])), raw(torch.tensor([[-1, 1, 0, 0.5, -0.5]]))
    )
    one_value = Overlay(block=3).build(Space((5,), 2.0, 2.0), CANVAS)
    assert bool(one_value(torch.full((1, 5), 2.0)).isfinite().all()), "a range of one number"


def test_a_sample_of_its_own_size_is_padded() -> None:
    """At a share where the sample's pixels meet the canvas's, `Resize` is `Pad`."""
    samples, takes = Space((3, 8, 8), 0.0, 1.0), Space((3, 16, 16), 0.0, 1.0)
    resized, padded = Resize(share=0.5).build(samples, takes), Pad().build(samples, takes)
    assert isinstance(resized, ResizeProgram)
    assert isinstance(padded, PadProgram)
    drawn(padded)
    with torch.no_grad():
        resized.weight.copy_(padded.weight)
    photos = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(resized(photos), padded(photos), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(resized.canvas(), padded.canvas())


@pytest.mark.parametrize(("share", "side"), [(0.25, 4), (0.75, 12)])
def test_other_sizes_are_bilinear(share: float, side: int) -> None:
    """The twin interpolates to whole pixels and puts the result in the middle."""
    program = Resize(share=share).build(Space((1, 8, 8), 0.0, 1.0), Space((1, 16, 16), 0.0, 1.0))
    photos, edge = torch.rand(2, 1, 8, 8), (16 - side) // 2
    expected = torch.full((2, 1, 16, 16), 0.5)
    expected[:, :, edge : edge + side, edge : edge + side] = F.interpolate(photos, (side, side), mode="bilinear")
    torch.testing.assert_close(program(photos), expected, atol=1e-5, rtol=1e-5)


def test_a_sample_keeps_its_proportions_and_large_ones_shrink() -> None:
    """40 x 20 on 10 x 12: at most 10 x 5; white covers as much as it should, parts of pixels included."""
    program = Resize(share=0.5).build(Space((1, 20, 40), 0.0, 1.0), CANVAS)
    assert isinstance(program, ResizeProgram)
    with torch.no_grad():
        program.weight.fill_(-50)
    found = program(torch.ones(1, 1, 20, 40))
    assert float(found[0, 0].detach().sum()) == pytest.approx(5 * 2.5, rel=1e-4)
    assert float(found[0, 0, 5:7, 3:7].detach().min()) == pytest.approx(1, rel=1e-5)


def test_the_size_follows_the_gradient() -> None:
    """A white sample on black that should be brighter grows, and one that should be darker shrinks; within limits."""
    for sign in (1.0, -1.0):
        program = Resize(share=0.5).build(Space((1, 6, 6), 0.0, 1.0), Space((1, 12, 12), 0.0, 1.0))
        assert isinstance(program, ResizeProgram)
        with torch.no_grad():
            program.weight.fill_(-50)
        before = float(program.share().detach())
        for _ in range(200):
            program.zero_grad()
            (-sign * program(torch.ones(1, 1, 6, 6)).sum()).backward()
            assert program.size.grad is not None
            with torch.no_grad():
                program.size -= 0.05 * program.size.grad
        assert sign * (float(program.share().detach()) - before) > 0.1
        assert 0.1 <= float(program.share().detach()) <= 1


CASES: list[tuple[InputTransform, Space, Tensor]] = [
    (Resize(share=0.43, decay=0.1), Space((1, 5, 7), -9.0, 9.0), torch.rand(2, 1, 5, 7)),
    (TokenPatch(patch=5, alpha=0.3, decay=0.1), WORDS, torch.tensor([[3, 1, 5, 1], [2, 2, 0, 0]])),
    (Overlay(block=3, decay=0.1), ROW, torch.randn(2, 5)),
]


@pytest.mark.parametrize(("transform", "samples", "given"), CASES, ids=lambda one: type(one).__name__)
def test_gradients(transform: InputTransform, samples: Space, given: Tensor) -> None:
    program = transform.build(samples, Space((1, 12, 10), -9.0, 9.0))
    assert isinstance(program, nn.Module)
    drawn(program, spread=0.1)
    program.double()
    names, values = zip(*program.named_parameters(), strict=True)
    given = given if samples.symbols else given.double().requires_grad_()

    def images(given: Tensor, *own: Tensor) -> tuple[Tensor, ...]:
        found = torch.func.functional_call(program, dict(zip(names, own, strict=True)), (given,))
        return (found.tanh(),)

    assert torch.autograd.gradcheck(images, (given, *values))


@pytest.mark.parametrize(
    ("transform", "samples", "takes", "complaint"),
    [
        (TokenPatch(patch=5), WORDS, Space((3, 9, 9), 0.0, 1.0), "4 symbols .* 9 x 9 pixels, where 1 patches of 5"),
        (TokenPatch(patch=20), WORDS, CANVAS, "where 0 patches of 20 pixels"),
        (TokenPatch(), ROW, CANVAS, r"A sample is of shape \(5,\); .* rows of symbols"),
        (TokenPatch(), Space((2, 4), symbols=6), CANVAS, "rows of symbols"),
        (TokenPatch(), WORDS, ROW, r"The source reads of shape \(5,\)"),
        (TokenPatch(), WORDS, Space((3, 16, 16)), "pixels from -inf to inf; .* needs a range"),
        (Overlay(block=4), ROW, CANVAS, "5 numbers as blocks of 4 pixels take 12 x 8, and .* image is 10 x 12"),
        (Overlay(), Space((3, 4, 4)), CANVAS, "rows of numbers"),
        (Overlay(), WORDS, CANVAS, "rows of numbers"),
        (Overlay(), ROW, WORDS, "needs images"),
        (Resize(), ROW, CANVAS, r"A sample is of shape \(5,\); a resize program needs images"),
        (Resize(), Space((2, 4, 4), 0.0, 1.0), CANVAS, "2 colours and the source reads 3"),
        (Pad(), Space((3, 4, 4)), Space((3, 8, 8), 0.0), "pixels from 0 to inf"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_both_numbers(
    transform: InputTransform, samples: Space, takes: Space, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        transform.build(samples, takes)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("share", lambda: Resize(share=1.0)),
        ("alpha", lambda: TokenPatch(alpha=0.0)),
        ("block", lambda: Overlay(block=0)),
    ],
)
def test_settings_out_of_range(name: str, build: object) -> None:
    with pytest.raises(UsageError, match=f"{name} is"):
        build()  # type: ignore[operator]


@pytest.fixture(scope="module")
def pocket() -> WhiteBox:
    return of_backbone(load("pocket"))


def test_a_photo_network_reads_a_table(pocket: WhiteBox) -> None:
    """Breast cancer or not, from 30 measurements as blocks: 63 of 100 are benign."""
    table = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    x, y = ((table.data - table.data.mean(0)) / table.data.std(0)).astype(np.float32), table.target
    found = Reprogrammed(pocket, Overlay(block=5), FrequencyMap(3), epochs=2).fit(x[:150], y[:150])
    assert found.score(x[150:300], y[150:300]) > 0.8
    pocket.check_untouched()


def test_a_photo_network_reads_symbols(pocket: WhiteBox) -> None:
    """Does the symbol 2 stand among four?  Its patch is found wherever that is."""
    words = np.random.default_rng(0).integers(1, 5, (160, 4))
    there = (words == 2).any(1)
    found = Reprogrammed(pocket, TokenPatch(patch=8), FrequencyMap(3), epochs=3).fit(words[:120], there[:120])
    assert found.samples_ == Space((4,), symbols=5)
    assert found.score(words[120:], there[120:]) > 0.8
    pocket.check_untouched()
