"""How a photo becomes a network's input: stated once, carried in every artifact."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgewise.core.errors import EdgewiseError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """Shorter side to ``resize``, centre crop ``size``, ``(x / 255 - mean) / std`` per channel.

    Above 64 px ``resize`` is ``size / 0.875`` (TinyTL's and torchvision's rule: 256 for 224);
    small images are usually framed already, so up to 64 px nothing is cropped away.
    """

    size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def resize(self) -> int:
        """Pixels of the shorter side before the centre crop."""
        return self.size if self.size <= 64 else round(self.size / 0.875)

    def to_json(self) -> dict[str, Any]:
        """``{size, mean, std, resize, crop}``, as ``artifact.json`` has it."""
        return {**asdict(self), "resize": self.resize, "crop": self.size}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preprocess":
        """The inverse of `to_json`; raises `EdgewiseError` when a value is missing or absurd."""
        try:
            size, mean, std = int(value["size"]), tuple(map(float, value["mean"])), tuple(map(float, value["std"]))
        except (KeyError, TypeError, ValueError) as error:
            raise EdgewiseError(f"The preprocessing {value!r} is incomplete: it needs size, mean and std.") from error
        finite = all(map(math.isfinite, (*mean, *std)))
        if not 8 <= size <= 4096 or len(mean) != 3 or len(std) != 3 or not finite or min(std) <= 0:
            raise EdgewiseError(
                f"The preprocessing {value!r} is out of range: size 8..4096, three means, three stds > 0."
            )
        return cls(size, mean, std)
