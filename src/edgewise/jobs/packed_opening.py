"""Open what ``edgewise compress`` left: a packed network, which holds all of its weights and needs no backbone."""

from pathlib import Path

from edgewise.compress import Network, PackedNetwork, read_network
from edgewise.core.artifacts import find_artifact, read_manifest, tensors_file
from edgewise.jobs.opening import Opened


def open_packed(path: Path) -> Opened:
    """Open a run or artifact folder of kind ``ternary``; raises `EdgewiseError` for a file that was cut off or changed.

    Classes and preprocessing are those in the file.
    """
    folder = find_artifact(path)
    network = packed_network(folder)
    manifest = read_manifest(folder, "ternary")
    return Opened(PackedNetwork(network), network.preprocess, network.classes, manifest, folder)


def packed_network(path: Path) -> Network:
    """The network itself, for another runtime."""
    folder = find_artifact(path)
    return read_network(tensors_file(folder, read_manifest(folder, "ternary")))
