"""A program for a source that is no classifier, as a folder: written, and read for its very source."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.artifacts import find_artifact, read_manifest, read_tensors, write_manifest, write_tensors
from edgewise.core.errors import EdgewiseError

FILE = "program.safetensors"


def keep(folder: Path, kind: str, source: str, said: Mapping[str, Any], program: nn.Module, card: str) -> None:
    """Write ``program`` and what is ``said`` of it, trained on the source with the fingerprint ``source``."""
    manifest = {"kind": kind, "source": {"fingerprint": source}, **said}
    write_manifest(folder, {**manifest, "tensors": write_tensors(folder, FILE, program.state_dict())}, card)


def told(settings: Any) -> dict[str, Any]:
    """Settings, a frozen dataclass with a ``name``, for a manifest."""
    return {"name": settings.name, "fields": dataclasses.asdict(settings)}


@dataclass(frozen=True)
class Kept:
    """A program's folder that was read."""

    folder: Path
    manifest: dict[str, Any]
    tensors: dict[str, Tensor]

    def settings(self, part: str, known: Mapping[str, type[Any]]) -> Any:
        """The settings of ``part``, of the ``known`` ones by name.  Raises `EdgewiseError` where they are unknown."""
        try:
            said = self.manifest[part]
            return known[said["name"]](**said["fields"])
        except (KeyError, TypeError, ValueError) as error:
            raise EdgewiseError(
                f"The program in {self.folder} has a {part} this version does not know ({error})."
            ) from error

    @torch.no_grad()
    def fill(self, program: nn.Module) -> None:
        """Put the tensors into ``program``.  Raises `EdgewiseError` where they are another's."""
        live = program.state_dict()
        if live.keys() != self.tensors.keys() or any(live[n].shape != t.shape for n, t in self.tensors.items()):
            raise EdgewiseError(f"The tensors in {self.folder} are not those of its program. Was it edited?")
        for name, tensor in live.items():
            tensor.copy_(self.tensors[name])


def read(folder: Path, kind: str, source: str) -> Kept:
    """What `keep` wrote into ``folder``.

    Raises `EdgewiseError` where the folder was cut off or changed, or ``source`` is not its source's fingerprint.
    """
    folder = find_artifact(folder)
    manifest = read_manifest(folder, kind)
    if (expected := str(manifest["source"].get("fingerprint"))) != source:
        raise EdgewiseError(
            f"The program in {folder} was trained on the source {expected[:12]}…, and this one is {source[:12]}…: "
            "before another model it means nothing."
        )
    return Kept(folder, manifest, read_tensors(folder, manifest))
