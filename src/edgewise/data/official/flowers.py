"""Oxford Flowers-102 (Nilsback and Zisserman, 2008): 1,020 photos to train on, 1,020 for validation, 6,149 to test.

The large part, ``tstid``, is the test part, although some papers train on it.  The archive has
numbers for classes, not names; the names are those of the set's web page, with the number in front,
so that classes sort in the order of the numbers.
"""

from collections.abc import Mapping
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import Found, Split
from edgewise.data.official.base import Entry, OfficialSet, Piece, from_lists
from edgewise.data.official.matlab import read_mat

LABELS, PARTS, DOWNLOAD = "imagelabels.mat", "setid.mat", "102flowers.tgz"
VARIABLES: Mapping[str, Split] = {"trnid": "train", "valid": "val", "tstid": "test"}

NAMES = tuple(
    """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid,
    bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris,
    globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily,
    pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers,
    stemless gentian, artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster,
    alpine sea holly, ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy,
    daffodil, sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy,
    common dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura, geranium,
    orange dahlia, pink-yellow dahlia, cautleya spicata, japanese anemone, black-eyed susan, silverbush,
    californian poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy, gazania, azalea,
    water lily, rose, thorn apple, morning glory, passion flower, lotus, toad lily, anthurium, frangipani, clematis,
    hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum,
    bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket flower,
    trumpet creeper, blackberry lily
    """.replace("\n    ", " ").strip().split(", ")
)  # fmt: skip


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    labels = read_mat(pieces[LABELS]).numbers("labels")
    if wrong := [label for label in labels if not 1 <= label <= len(NAMES)]:
        raise EdgewiseError(
            f"{pieces[LABELS]} has the class {wrong[0]}; the classes are 1 to {len(NAMES)}. Download it again."
        )
    parts, entries = read_mat(pieces[PARTS]), []
    for variable, split in VARIABLES.items():
        for place, number in enumerate(parts.numbers(variable), 1):
            if not 1 <= number <= len(labels):
                raise EdgewiseError(
                    f"Number {place} of {variable} in {pieces[PARTS]} is photo {number:,}, and {LABELS} has labels of "
                    f"the photos 1 to {len(labels):,}. Download both again."
                )
            label = labels[number - 1]
            name, where = f"{label:03d} {NAMES[label - 1]}", f"number {place} of {variable}"
            entries.append(Entry(split, name, f"jpg/image_{number:05d}.jpg", pieces[PARTS], where))
    return from_lists(root, entries, DOWNLOAD)


FLOWERS102 = OfficialSet(
    name="flowers102",
    title="Oxford Flowers-102",
    folders=("flowers-102",),
    pieces=(Piece("jpg", DOWNLOAD), Piece(LABELS, LABELS), Piece(PARTS, PARTS)),
    read=_read,
    photos={"train": 1020, "val": 1020, "test": 6149},
    classes=102,
)
