"""Input transforms: each by hand, all against one contract, and the errors that released code made."""

import pytest
import torch
from torch import nn

from edgewise.core.errors import UsageError
from edgewise.reprogram.base import Draws, InputTransform
from edgewise.reprogram.space import Space
from edgewise.reprogram.transforms import TRANSFORMS, transform_class
from edgewise.reprogram.transforms.context_remap import ContextRemap
from edgewise.reprogram.transforms.overlay import Overlay
from edgewise.reprogram.transforms.pad import Pad, PadProgram
from edgewise.reprogram.transforms.prompt import Prompt, PromptProgram
from edgewise.reprogram.transforms.prompt_tokens import PromptTokens
from edgewise.reprogram.transforms.replicate import Replicate
from edgewise.reprogram.transforms.resize import Resize
from edgewise.reprogram.transforms.token_patch import TokenPatch
from edgewise.reprogram.transforms.vocabulary import VocabularyMap

CANVAS, PHOTO = Space((3, 16, 16), 0.0, 1.0), Space((3, 6, 8), 0.0, 1.0)
SIGNAL, SERIES = Space((100,), -1.0, 1.0), Space((12,))
WORDS = Space((7,), symbols=6)
VECTORS, SYMBOLS = Space((20, 4), table=torch.rand(10, 4) + 0.1), Space((9,), symbols=12)
CASES: list[tuple[InputTransform, Space, Space]] = [
    (Pad(), PHOTO, CANVAS),
    (Pad(bound="clip", place="corner"), Space((1, 6, 8), 0.0, 1.0), CANVAS),
    (Pad(size=12, grid=4, decay=0.1), PHOTO, CANVAS),
    (Prompt(), PHOTO, CANVAS),
    (Prompt(shape="patch", decay=0.1), PHOTO, CANVAS),
    (Prompt(shape="all"), Space((1, 16, 16), 0.0, 1.0), CANVAS),
    (Replicate(copies=3, decay=0.1), SERIES, SIGNAL),
    (Replicate(copies=0), SERIES, SIGNAL),
    (Resize(), PHOTO, CANVAS),
    (Resize(share=0.9, grid=4, bound="clip", decay=0.1), Space((1, 40, 24), 0.0, 1.0), CANVAS),
    (TokenPatch(patch=5), WORDS, CANVAS),
    (TokenPatch(patch=4, alpha=0.2, decay=0.1), WORDS, CANVAS),
    (Overlay(block=4), SERIES, CANVAS),
    (Overlay(block=3, decay=0.1), Space((5,), -2.0, 3.0), CANVAS),
    (PromptTokens(mask=9), WORDS, VECTORS),
    (PromptTokens(before=0, init="normal"), Space((2, 3), symbols=10), VECTORS),
    (VocabularyMap(nonzeros=3), WORDS, VECTORS),
    (ContextRemap(), WORDS, VECTORS),
    (ContextRemap(width=3), WORDS, SYMBOLS),
]


def test_all_are_here_and_tried() -> None:
    known = {"pad", "prompt", "replicate", "resize", "token-patch", "overlay", "prompt-tokens", "vocabulary"}
    assert set(TRANSFORMS) == known | {"context-remap"} == {case[0].name for case in CASES}
    assert all(transform_class(name) is TRANSFORMS[name] for name in TRANSFORMS)
    with pytest.raises(UsageError, match="pad"):
        transform_class("padd")


@pytest.mark.parametrize(("transform", "samples", "takes"), CASES, ids=lambda one: repr(one)[:40])
def test_contract(transform: InputTransform, samples: Space, takes: Space) -> None:
    """Results lie in the source's space whatever the program is; samples stay; all that trains gets a gradient."""
    program = transform.build(samples, takes)
    assert isinstance(program, nn.Module)
    assert program.gives == takes
    low, high = max(samples.low, -1.0), min(samples.high, 1.0)
    given = low + (high - low) * torch.rand(5, *samples.shape)
    if samples.symbols:
        given = torch.randint(samples.symbols, (5, *samples.shape))
    before = given.clone()
    for spread in (0.0, 0.1, 50.0):
        with torch.no_grad():
            for parameter in program.parameters():
                parameter.normal_(std=spread)
        found = program(given)
        takes.check(found, "the result")
    assert torch.equal(given, before)
    with torch.no_grad():
        for parameter in program.parameters():
            parameter.normal_(std=0.1)
    program.eval()
    assert torch.equal(program(given), program(given)), "nothing is left to chance outside training"
    program.train()
    total = program(given).float().square().sum() + program.penalty()
    (total + program.log_chance().sum() if isinstance(program, Draws) else total).backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in program.parameters())
    assert program.penalty().ndim == 0


def test_the_sample_stands_unchanged_amid_the_program() -> None:
    """Released code adds half the range on the sample: it takes the sigmoid of a masked 0."""
    program = Pad().build(PHOTO, CANVAS)
    assert isinstance(program, PadProgram)
    with torch.no_grad():
        program.weight.normal_()
    photos = torch.rand(2, *PHOTO.shape)
    found = program(photos)
    assert torch.equal(found[:, :, 5:11, 4:12], photos)
    outside = torch.ones(16, 16, dtype=torch.bool)
    outside[5:11, 4:12] = False
    torch.testing.assert_close(found[0, :, outside], (0.5 + 0.5 * program.weight.tanh())[:, outside])


def test_grey_becomes_colour_and_small_becomes_large() -> None:
    found = Pad(size=16).build(Space((1, 4, 4), 0.0, 1.0), CANVAS)(torch.full((1, 1, 4, 4), 0.25))
    torch.testing.assert_close(found, torch.full((1, 3, 16, 16), 0.25))


def test_a_coarse_grid_has_few_numbers_and_spreads_them() -> None:
    program = Pad(grid=2, bound="clip").build(PHOTO, CANVAS)
    assert isinstance(program, PadProgram)
    assert program.weight.numel() == 3 * 2 * 2
    with torch.no_grad():
        program.weight.copy_(torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).expand(3, 2, 2))
    row = program.canvas()[0, 0]
    torch.testing.assert_close(row, torch.linspace(0, 1, 16))


def test_a_frame_and_a_patch() -> None:
    frame = Prompt(width=28).build(PHOTO, CANVAS)  # 28 of 224 pixels: 2 of 16
    patch = Prompt(shape="patch", width=56).build(PHOTO, CANVAS)
    assert isinstance(frame, PromptProgram)
    assert isinstance(patch, PromptProgram)
    assert int(frame.mask.sum()) == 16 * 16 - 12 * 12
    assert int(patch.mask.sum()) == 4 * 4
    assert bool(patch.mask[0, :4, :4].all())
    photos = torch.rand(2, 3, 16, 16)
    assert torch.equal(frame(photos), photos), "it starts from the sample itself"


def test_copies_of_a_series() -> None:
    series = torch.arange(1.0, 13.0)[None] / 20
    program = Replicate(copies=3, noise=0).build(SERIES, SIGNAL)  # room for 8, so every second place
    found = program.eval()(series).detach()
    starts = [place for place in range(100) if found[0, place] == 0.05]
    assert starts == [0, 24, 48]
    torch.testing.assert_close(found[0, 24:36], series[0])
    assert float(found.sum()) == pytest.approx(3 * float(series.sum()))


def test_dropout_is_for_training_alone() -> None:
    program = Replicate(copies=1, dropout=0.5).build(SERIES, SIGNAL)
    assert isinstance(program, nn.Module)
    with torch.no_grad():
        next(program.parameters()).fill_(0.1)
    still, silence = program.eval()(torch.zeros(1, 12)), torch.zeros(1, 12)
    assert bool((still == 0.1).all())
    assert len(program.train()(silence).unique()) == 2


@pytest.mark.parametrize(
    ("transform", "samples", "takes", "complaint"),
    [
        (Pad(), Space((3, 20, 8), 0.0, 1.0), CANVAS, "8 x 20 pixels does not fit on the source's 16 x 16"),
        (Pad(size=17), PHOTO, CANVAS, "17 x 13 pixels does not fit"),
        (Pad(), Space((4, 6, 6), 0.0, 1.0), CANVAS, "4 colours and the source reads 3"),
        (Pad(), SERIES, CANVAS, r"A sample is of shape \(12,\)"),
        (Pad(), PHOTO, SIGNAL, r"The source reads of shape \(100,\)"),
        (Prompt(), SERIES, CANVAS, "needs images"),
        (Prompt(), Space((2, 6, 6), 0.0, 1.0), CANVAS, "2 colours"),
        (Replicate(copies=9), SERIES, SIGNAL, "9 copies of 12 samples .* 100: there is room for 8"),
        (Replicate(), Space((101,)), SIGNAL, "room for 0"),
        (Replicate(), PHOTO, SIGNAL, "both must be series"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_sizes(
    transform: InputTransform, samples: Space, takes: Space, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        transform.build(samples, takes)
