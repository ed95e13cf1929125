"""Crops, mirrors and colours, against their plain definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgewise.core.errors import UsageError
from edgewise.core.preprocess import Preprocess
from edgewise.data.transforms import (
    COLOURS,
    Augment,
    evaluation_image,
    side_needed,
    training_image,
)

PLAIN = Augment(scale_low=1.0, flip=False)
sides = st.integers(1, 300)


def photo(width: int, height: int, number: int = 0) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def whereabouts(width: int, height: int) -> Image.Image:
    """A picture whose red is the place across and whose green is the place down, 0 to 255."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, axis=0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, axis=1)
    return Image.fromarray(np.stack([across, down, 0 * down], axis=-1).round().astype(np.uint8))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("size", "width", "height"),
    [(128, 500, 375), (128, 227, 227), (224, 300, 640), (96, 90, 50), (32, 28, 28), (48, 8, 8)],
)
def test_evaluation_is_resize_then_centre_crop(size: int, width: int, height: int) -> None:
    preprocess, image = Preprocess(size), photo(width, height)
    resize = preprocess.resize
    w, h = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
    left, top = round((w - size) / 2), round((h - size) / 2)
    wanted = image.resize((w, h), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    found = evaluation_image(image, preprocess)
    assert (found.shape, found.dtype) == ((3, size, size), torch.uint8)
    difference = np.abs(found.permute(1, 2, 0).numpy().astype(int) - np.asarray(wanted))
    assert difference.max() <= 1


@given(width=sides, height=sides, size=st.integers(8, 96))
def test_evaluation_takes_any_shape(width: int, height: int, size: int) -> None:
    assert evaluation_image(photo(width, height), Preprocess(size)).shape == (3, size, size)


def test_evaluation_of_a_long_strip_is_cheap() -> None:
    """Resized whole, it would have a thousand million pixels."""
    assert evaluation_image(Image.new("RGB", (60_000, 1)), Preprocess(128)).shape == (3, 128, 128)


@given(width=sides, height=sides, size=st.integers(8, 64), low=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_training_takes_any_shape(width: int, height: int, size: int, low: float, seed: int) -> None:
    view = training_image(photo(width, height), size, Augment(low), rng(seed))
    assert (view.shape, view.dtype) == ((3, size, size), torch.uint8)
    assert view.is_contiguous()


def test_crops_have_the_areas_and_shapes_asked_for() -> None:
    image, areas, shapes = whereabouts(400, 300), [], []
    for seed in range(300):
        view = training_image(image, 64, Augment(0.22, flip=False), rng(seed)).float()
        # between the middles of the first and last pixel lie 63/64 of the crop
        across = (view[0, 32, -1] - view[0, 32, 0]) / 255 * 399 * 64 / 63
        down = (view[1, -1, 32] - view[1, 0, 32]) / 255 * 299 * 64 / 63
        areas.append(float(across * down) / (400 * 300))
        shapes.append(float(across / down))
    assert 0.20 < min(areas) < 0.30
    assert 0.85 < max(areas) < 1.03
    assert 0.48 < np.mean(areas) < 0.61  # below the middle of 0.22 to 1: large ones often do not fit
    assert 0.70 < min(shapes) < 0.80
    assert 1.25 < max(shapes) < 1.40
    assert abs(np.mean(np.log(shapes))) < 0.05


def test_the_whole_photo_where_that_is_asked_for() -> None:
    """Area 1 fits a square photo in its own shape only: after ten tries the centre is taken, all of it."""
    image = photo(64, 64)
    found = training_image(image, 64, PLAIN, rng())
    assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(image))


@pytest.mark.parametrize(("width", "height"), [(400, 40), (40, 400)])
def test_a_very_long_photo_gives_its_centre(width: int, height: int) -> None:
    view = training_image(whereabouts(width, height), 32, PLAIN, rng()).float()
    long, place = (view[0], "across") if width > height else (view[1].T, "down")
    assert place
    short_side = 40 * 4 / 3
    assert abs(float(long.mean()) - 127.5) < 2
    assert abs(float(long[16, -1] - long[16, 0]) / 255 * 399 - short_side * 31 / 32) < 4


def test_half_of_the_photos_are_mirrored() -> None:
    image = whereabouts(64, 64)
    mirrored = sum(
        bool(view[0, 8, 0] > view[0, 8, -1])
        for view in (training_image(image, 16, Augment(0.5), rng(seed)) for seed in range(400))
    )
    assert 160 < mirrored < 240
    never = [training_image(image, 16, Augment(0.5, flip=False), rng(seed)) for seed in range(50)]
    assert all(view[0, 8, 0] < view[0, 8, -1] for view in never)


def test_the_generator_alone_decides() -> None:
    image, augment = photo(90, 70), Augment(colour="torch")
    np.random.seed(1)
    one = training_image(image, 32, augment, rng(5))
    np.random.seed(2)
    assert torch.equal(one, training_image(image, 32, augment, rng(5)))
    assert not torch.equal(one, training_image(image, 32, augment, rng(6)))


# Colours


def jittered(image: Image.Image, colour: str, seed: int) -> np.ndarray:
    view = training_image(image, image.width, Augment(1.0, False, colour), rng(seed))
    return view.permute(1, 2, 0).numpy()


def test_colours_are_those_of_the_papers() -> None:
    assert [tuple(vars(COLOURS[name]).values()) for name in ("none", "torch", "tf")] == [
        (0, 0, 0, 0),
        (0.4, 0.4, 0.4, 0.1),
        (32 / 255, 0, 0.5, 0),
    ]


def test_no_change_of_colours_changes_nothing() -> None:
    image = photo(32, 32)
    assert np.array_equal(jittered(image, "none", 3), np.asarray(image))


def test_tf_varies_brightness_and_saturation() -> None:
    """Grey has no saturation: what is left is a factor between 1 - 32/255 and 1 + 32/255."""
    image = Image.new("RGB", (8, 8), (100, 100, 100))
    levels = np.array([jittered(image, "tf", seed)[0, 0] for seed in range(200)])
    assert (levels == levels[:, :1]).all()
    assert 87 <= levels.min() < 90
    assert 110 < levels.max() <= 113
    red = Image.new("RGB", (8, 8), (200, 100, 100))
    spreads = [np.ptp(jittered(red, "tf", seed)[0, 0].astype(int)) for seed in range(200)]
    assert 40 < min(spreads) < 60
    assert 140 < max(spreads) < 170


def test_torch_turns_the_hue_by_up_to_a_tenth() -> None:
    red = Image.new("RGB", (8, 8), (200, 40, 40))
    hues = []
    for seed in range(200):
        hue = Image.fromarray(jittered(red, "torch", seed)).convert("HSV").getpixel((0, 0))[0]  # type: ignore[index]
        hues.append(((hue + 128) % 256 - 128) / 256)
    assert -0.14 < min(hues) < -0.08  # coarse, where the colour is nearly black or grey
    assert 0.08 < max(hues) < 0.14


def test_contrast_keeps_the_mean() -> None:
    """A change of contrast moves the levels towards or away from the mean; brightness scales both."""
    halves = Image.new("RGB", (8, 8), (80, 80, 80))
    halves.paste((120, 120, 120), (0, 0, 8, 4))
    shares = []
    for seed in range(200):
        view = jittered(halves, "torch", seed)[..., 0].astype(float)
        shares.append((view.max() - view.min()) / view.mean())
    assert 0.2 < min(shares) < 0.3  # 0.4 of itself less 40 %
    assert 0.5 < max(shares) < 0.6


# Moved by some pixels


def test_a_small_photo_is_moved_within_a_black_frame_to_every_place_alike() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(1, 256, (8, 8, 3), dtype=np.uint8))
    framed = np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)))
    windows = {framed[y : y + 8, x : x + 8].tobytes(): (y, x) for y in range(5) for x in range(5)}
    seen = [
        windows[training_image(image, 8, Augment(flip=False, pad=2), np.random.default_rng(seed)).permute(1, 2, 0)
                .contiguous().numpy().tobytes()]
        for seed in range(600)
    ]  # fmt: skip
    counts = [seen.count(place) for place in windows.values()]
    assert len(windows) == 25
    assert min(counts) > 8
    assert max(counts) < 48


def test_a_larger_photo_is_moved_by_its_central_square_and_mirrored_half_of_the_time() -> None:
    image, size = photo(40, 24), Preprocess(16)
    still = evaluation_image(image, size)
    views = [training_image(image, 16, Augment(pad=1), np.random.default_rng(seed)) for seed in range(200)]
    centred = sum(torch.equal(view, still) for view in views)
    mirrored = sum(torch.equal(view, still.flip(2)) for view in views)
    assert 2 < centred < 25  # one of nine places, half of the time
    assert 2 < mirrored < 25
    assert side_needed(size, Augment(pad=4)) == 16


# Sizes


def test_side_needed() -> None:
    assert side_needed(Preprocess(128), None) == 146
    assert side_needed(Preprocess(128), Augment(1.0)) == math.ceil(128 / math.sqrt(0.75)) == 148
    assert side_needed(Preprocess(224), Augment()) == 366


@given(scale=st.floats(0.01, 1), size=st.integers(8, 256), long=st.integers(0, 4000), seed=st.integers(0, 200))
def test_no_crop_is_enlarged(scale: float, size: int, long: int, seed: int) -> None:
    """The smallest and narrowest crop of a photo with the side needed has as many pixels as are asked for."""
    short = side_needed(Preprocess(size), Augment(scale))
    narrowest = math.sqrt(scale * short * (short + long) * 3 / 4)
    assert narrowest >= size - 1e-6


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"scale_low": 0.0}, "Augment: scale_low is 0.0; it must be from 0.01 to 1."),
        ({"scale_low": 1.5}, "Augment: scale_low is 1.5; it must be from 0.01 to 1."),
        ({"pad": -1}, "Augment: pad is -1; it must be from 0 to 64."),
        ({"colour": "sepia"}, "Augment: colour is 'sepia'; choose one of none, torch, tf."),
    ],
)
def test_augment_checks_itself(fields: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Augment(**fields)  # type: ignore[arg-type]
    assert str(caught.value) == text
