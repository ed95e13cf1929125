"""From a decoded photo to the network's input: TinyTL's crops (Cai et al., 2020), in Pillow alone.

Training: a crop of 0.5 to 1 of the photo's area and 3/4 to 4/3 in shape, resized with an
antialiased bilinear filter; mirrored half of the time; optionally a change of colours.  TinyTL's
crops begin at 0.22, for 50 epochs; 0.5 was better on validation photos after six
(``recipes/choose_defaults.py``).
With ``pad`` a small photo is framed already: then a training view is the whole square, moved by at most so many
pixels each way, with black where nothing is (He et al., 2016, Section 4.2, with 4 pixels on CIFAR-10).
Evaluation: shorter side to ``Preprocess.resize``, centre crop ``Preprocess.size``.

Unlike torchvision, the filter sees the pixels just outside the crop: cropping and resizing are one
operation, so that no more pixels are computed than the network is shown.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from edgewise.core.preprocess import Preprocess
from edgewise.core.settings import check, setting

SHAPES = (3 / 4, 4 / 3)
TRIES = 10
BILINEAR = Image.Resampling.BILINEAR

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Jitter:
    """Half widths of the ranges in which brightness, contrast, saturation (factors) and hue (turns) vary."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0


COLOURS = {
    "none": Jitter(),
    "torch": Jitter(0.4, 0.4, 0.4, 0.1),
    "tf": Jitter(brightness=32 / 255, saturation=0.5),
}


@dataclass(frozen=True)
class Augment:
    """How training photos vary."""

    scale_low: float = setting(0.5, "smallest share of a photo's area that a crop shows", low=0.01, high=1)
    flip: bool = setting(True, "mirror half of the photos; not for text or digits")
    colour: str = setting("none", "change of colours", choices=tuple(COLOURS))
    pad: int = setting(0, "pixels a photo is moved by at most, in place of a crop", low=0, high=64)

    def __post_init__(self) -> None:
        check(self)


def side_needed(preprocess: Preprocess, augment: Augment | None) -> int:
    """Pixels the shorter side of a photo should have, so that no crop has to be enlarged."""
    if augment is None:
        return preprocess.resize
    if augment.pad:
        return preprocess.size
    return math.ceil(preprocess.size / math.sqrt(augment.scale_low * SHAPES[0]))


def training_image(image: Image.Image, size: int, augment: Augment, rng: np.random.Generator) -> Tensor:
    """A random view of an RGB photo: (3, size, size) uint8."""
    if augment.pad:
        view = _moved(image, size, augment.pad, rng)
    else:
        box = _random_box(image.width, image.height, augment.scale_low, rng)
        view = image.resize((size, size), BILINEAR, box=box)
    if augment.flip and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _tensor(_jittered(view, COLOURS[augment.colour], rng))


def evaluation_image(image: Image.Image, preprocess: Preprocess) -> Tensor:
    """The centre of an RGB photo: (3, size, size) uint8."""
    return _tensor(_centre(image, preprocess.size, preprocess.resize))


def _centre(image: Image.Image, size: int, resize: int) -> Image.Image:
    # the photo after resizing, in whole pixels, and the crop's place in it
    width, height = (resize * side // min(image.size) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    across, down = image.width / width, image.height / height
    right, bottom = min((left + size) * across, image.width), min((top + size) * down, image.height)
    box = (left * across, top * down, right, bottom)
    return image.resize((size, size), BILINEAR, box=box)


def _moved(image: Image.Image, size: int, pad: int, rng: np.random.Generator) -> Image.Image:
    """The central square, moved within a black frame."""
    framed = ImageOps.expand(_centre(image, size, size), pad)
    x, y = rng.integers(0, 2 * pad + 1, 2).tolist()
    return framed.crop((x, y, x + size, y + size))


def _random_box(width: int, height: int, scale_low: float, rng: np.random.Generator) -> Box:
    for _ in range(TRIES):
        area = width * height * rng.uniform(scale_low, 1.0)
        shape = math.exp(rng.uniform(math.log(SHAPES[0]), math.log(SHAPES[1])))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return left, top, left + w, top + h
    # a very long photo: its centre, in the nearest shape allowed
    w, h = min(width, round(height * SHAPES[1])), min(height, round(width / SHAPES[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _jittered(image: Image.Image, jitter: Jitter, rng: np.random.Generator) -> Image.Image:
    """The four changes in a random order, each by a random amount, those of width 0 left out."""
    if jitter == Jitter():
        return image
    for change in rng.permutation(4):
        if change == 0 and jitter.brightness:
            image = ImageEnhance.Brightness(image).enhance(_factor(jitter.brightness, rng))
        elif change == 1 and jitter.contrast:
            image = ImageEnhance.Contrast(image).enhance(_factor(jitter.contrast, rng))
        elif change == 2 and jitter.saturation:
            image = ImageEnhance.Color(image).enhance(_factor(jitter.saturation, rng))
        elif change == 3 and jitter.hue:
            image = _turned(image, rng.uniform(-jitter.hue, jitter.hue))
    return image


def _factor(width: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(1 - width, 1 + width))


def _turned(image: Image.Image, turns: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    shift = round(turns * 255) % 256
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _tensor(image: Image.Image) -> Tensor:
    # by numpy: torch would wake its threads for so little
    return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))
