"""Draw the ternary kernels of a layer as black, white and grey squares (the dissertation's Figure 5).

    python recipes/draw_tiles.py RUN/artifact/network.ew3 --layer layer1.0.conv1 --out docs/compress_tiles.svg

The codes come from the packed file itself.  Without --layer, the layers in the file are listed.  Takes a second.
"""

import argparse
from pathlib import Path

from edgewise.compress import read_network
from edgewise.compress.network import Conv, Packed
from edgewise.core.files import write_text
from edgewise.report.standalone import standalone
from edgewise.report.tiles import Codes, left_out, tiles


def layers(path: Path) -> dict[str, Packed]:
    """The ternary layers of a packed network by name."""
    convs = ((step.name, step.op.weight) for step in read_network(path).steps if isinstance(step.op, Conv))
    return {name: weight for name, weight in convs if isinstance(weight, Packed)}


def drawn(name: str, weight: Packed) -> str:
    """The text of an SVG file."""
    codes = weight.ternary.codes
    filters, channels, high, wide = codes.shape
    found = Codes((filters, channels, high, wide), weight.slab, codes.flatten().tolist())
    heading = f"{name}: {filters} filters of {channels} kernels, in groups of {weight.slab}"
    return standalone(f"Ternary kernels of {name}. {left_out(found)}".strip(), [[tiles(heading, found)]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="a packed network, .ew3")
    parser.add_argument("--layer", help="its name; without it, the names are printed")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "compress_tiles.svg")
    arguments = parser.parse_args()
    found = layers(arguments.network)
    if arguments.layer not in found:
        raise SystemExit(f"Name one of its layers with --layer: {', '.join(found)}")
    write_text(arguments.out, drawn(arguments.layer, found[arguments.layer]))
    print(arguments.out)


if __name__ == "__main__":
    main()
