"""The page that lies beside an exported program."""

from edgewise.core.units import megabytes
from edgewise.export.quantise import IntegerNetwork
from edgewise.export.source import Sources


def readme(network: IntegerNetwork, sources: Sources) -> str:
    """Markdown: what it is, how to build and call it, what it takes."""
    given, classes = network.network.preprocess, network.network.classes
    size = given.size
    return f"""# A network as a C program

Exported by Edgewise: ternary weights, {network.bits}-bit activations, {len(classes)} classes, photos of {size} x {size}
pixels. C99 without any library; `main.c` alone reads files.

```
make                                            # edgewise, for this machine
make FLOAT=1                                    # the same in float
make CC=aarch64-linux-gnu-gcc MACHINE=          # for another machine
./edgewise PHOTOS.rgb                           # the class of every photo; -l: with its logits
```

A photo is {size * size * 3:,} bytes: {size} rows of {size} pixels of red, green and blue. Make them as the network was
trained: the shorter side scaled to {given.resize} pixels, the middle {size} x {size} cut out. With ImageMagick:

```
convert photo.jpg -resize {given.resize}x{given.resize}^ -gravity center -extent {size}x{size} -depth 8 rgb:photo.rgb
```

In your own program, include `edgewise.h`, compile `edgewise.c` and `network.c` with it, and call

```c
edgewise_number logits[EW_CLASSES];
edgewise_run(photo, logits);
puts(edgewise_classes[edgewise_largest(logits)]);
```

One call at a time: the arrays are static. They take {sources.memory:,} bytes ({megabytes(sources.memory)}) beside
{sources.constants:,} bytes of weights and other constants. Integer logits times `EW_LOGIT` are the network's; they are
the same on every machine whose `>>` keeps the sign of a negative number, as all common ones do.
"""
