"""The official data sets by name, and DATA written as ``NAME:FOLDER``."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgewise.core.errors import UsageError, unknown
from edgewise.data.official.aircraft import AIRCRAFT
from edgewise.data.official.base import OfficialSet
from edgewise.data.official.cars import CARS
from edgewise.data.official.cifar import CIFAR10, CIFAR100
from edgewise.data.official.cub import CUB200
from edgewise.data.official.flowers import FLOWERS102
from edgewise.data.official.food import FOOD101
from edgewise.data.official.mnist import MNIST
from edgewise.data.official.pets import PETS

OFFICIAL: Mapping[str, OfficialSet] = {
    one.name: one for one in (CARS, FLOWERS102, AIRCRAFT, CUB200, PETS, FOOD101, CIFAR10, CIFAR100, MNIST)
}


def official(data: Path) -> tuple[OfficialSet, Path] | None:
    """The set and the folder that ``NAME:FOLDER`` names; None where ``data`` is a path.

    ``~`` is the user's folder here too, where shells leave it as it is.  Raises `UsageError` for a name that
    is none of ours, where there is no such path either.
    """
    name, colon, folder = str(data).partition(":")
    if not colon or not re.fullmatch(r"\w[\w.-]+", name):  # one letter is a drive of Windows
        return None
    if name not in OFFICIAL:
        if data.exists():
            return None
        raise unknown("data set", name, OFFICIAL)
    if not folder:
        raise UsageError(f"Say where {OFFICIAL[name].title} lies: {name}:FOLDER.")
    return OFFICIAL[name], Path(os.path.expanduser(folder))


def meant(data: Path) -> str:
    """A hint for the error about a path that is not there: is it the name of a set?"""
    return f" For the official set write {data}:FOLDER." if str(data) in OFFICIAL else ""
