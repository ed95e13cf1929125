"""Methods that no user has: one that refuses every network, one whose training explodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgewise.adapt import LastLayer, Method
from edgewise.adapt.base import Parts, Site
from edgewise.core.errors import UsageError
from edgewise.core.settings import setting

# What Python runs when it starts, where a folder with this file is on its path: then it knows these methods.
AT_START = "from edgewise.adapt import METHODS\nfrom odd_methods import ODD\nMETHODS.update(ODD)\n"


@dataclass(frozen=True)
class Fussy(LastLayer):
    """Refuses."""

    name: ClassVar[str] = "fussy"
    title: ClassVar[str] = "Fussy"

    def apply(self, site: Site) -> Parts:
        raise UsageError("Fussy needs a block of gold, and this network has none.")


@dataclass(frozen=True)
class Wild(LastLayer):
    """Explodes."""

    name: ClassVar[str] = "wild"
    title: ClassVar[str] = "Wild"

    lr: float = setting(3e37, "far too high")


ODD: dict[str, type[Method]] = {"fussy": Fussy, "wild": Wild}


def path_with_odd_methods(folder: Path) -> Path:
    """``folder``, which makes every process with it on its path know the odd methods."""
    (folder / "sitecustomize.py").write_text(AT_START)
    return folder
