"""The model card: ``README.md`` beside an adapter, for whoever finds the folder later."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edgewise.core.units import percent
from edgewise.report.fit_record import SPLITS, Data, read_data
from edgewise.report.intervals import wilson
from edgewise.report.section import Section, printable

# What Markdown would read as markup: emphasis, code, links, cells; and, only at the start, lists and headings.
_MARKUP = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w)|(?:^|(?<=^\d))[-+#.)](?=\s))")

_FAIRNESS = {
    "test": "The test images chose nothing.",
    "val": "There was no test set: the validation images also chose the best epoch, so this is a little too good.",
    "train": "There was neither a test nor a validation set: these images are those it learned from.",
}
_DIFFERENCE = (
    "These are the tensors in which an adapted image classifier differs from its backbone; without the backbone’s "
    "weights they do nothing."
)
_WHOLE = {
    "ternary": "This is a whole image classifier in one packed file, network.ew3; it needs no other weights.",
    "subnets": "These are several image classifiers in one file: weights that they share, and masks and norms of each; "
    "they need no other weights.",
}
_USE = """## Use

RUN is the folder of the run, the one that holds `artifact/`.

```
edgewise predict RUN photo.jpg
```

```python
import edgewise as ew

print(ew.open("RUN").predict("photo.jpg"))
```"""


def model_card(artifact: Mapping[str, Any], record: Mapping[str, Any] | None) -> str:
    """Markdown for ``RUN/artifact/README.md`` from ``artifact.json`` and, where there is one, ``record.json``.

    Of an adapter, of a packed network, or of sub-nets.  It counts the training images and never names one.  Raises
    `EdgewiseError` naming the key that is missing.
    """
    parts = Section(artifact, "", "artifact.json")
    backbone, method, classes = parts.section("backbone"), parts.section("method"), parts.texts("classes")
    data = None if record is None else read_data(Section(record, "", "record.json").section("data"))
    kind = parts.text("kind")
    blocks = [
        f"# {_plain(method.text('name'))} on {_plain(backbone.text('name'))}, {len(classes):,} classes",
        f"Made by Edgewise (kind: {_plain(kind)}). {_WHOLE.get(kind, _DIFFERENCE)}",
        _USE,
        _accuracy(parts.section("metrics")),
        "## Classes\n\n" + "\n".join(f"{index}. {_plain(name)}" for index, name in enumerate(classes)),
        *([] if data is None else [_training_data(data)]),
        _backbone(backbone),
        "## Method\n\n" + _table([("name", method.text("name")), *method.section("fields").settings()]),
        "## Preprocessing\n\n" + _table(list(parts.section("preprocess").settings())),
        "The shorter side is scaled to `resize`, the centre `crop` is cut out, and every channel becomes "
        "(x / 255 − mean) / std.",
        *([] if kind in _WHOLE else [_storage(parts.section("lean"))]),
        _limits(classes),
    ]
    return "\n\n".join(blocks) + "\n"


def _accuracy(metrics: Section) -> str:
    split, n, accuracy = metrics.text("split"), metrics.count("n"), metrics.share("accuracy")
    if split not in SPLITS:
        raise metrics.wrong("split", f"is {split!r}; it must be one of {', '.join(SPLITS)}")
    if accuracy is None or n == 0:
        raise metrics.wrong("accuracy", f"is {accuracy} on {n} images; it must have been measured")
    low, high = wilson(round(accuracy * n), n)
    return (
        f"## Accuracy\n\n**{percent(accuracy)}** of {n:,} {SPLITS[split]} images "
        f"(95 % interval {percent(low)} to {percent(high)}, Wilson). {_FAIRNESS[split]}"
    )


def _training_data(data: Data) -> str:
    head = f"| class | {' | '.join(SPLITS.values())} |\n| --- | --: | --: | --: |"
    rows = [
        f"| {_plain(name)} | " + " | ".join(f"{data.counts[split][index]:,}" for split in SPLITS) + " |"
        for index, name in enumerate(data.classes)
    ]
    total = "| all | " + " | ".join(f"{data.sizes[split]:,}" for split in SPLITS) + " |"
    return "\n".join(["## Data\n\nNumbers of images.\n", head, *rows, total])


def _backbone(backbone: Section) -> str:
    rows = [("name", backbone.text("name")), *backbone.section("settings").settings()]
    rows.append(("weights", "none given" if backbone.raw("path") is None else backbone.path("path")))
    rows.append(("sha256 of the weights", "not known" if backbone.raw("sha256") is None else backbone.text("sha256")))
    for name in ("licence", "source"):
        value = backbone.value.get(name)
        rows.append((f"{name} of the weights", str(value) if value else "not known"))
    return "## Backbone\n\n" + _table(rows)


def _storage(lean: Section) -> str:
    return "## Storage of the frozen weights\n\n" + _table(list(lean.settings()))


def _limits(classes: Sequence[str]) -> str:
    return f"""## Limits

- It answers with one of its {len(classes):,} classes, whatever the photo shows; it cannot say “none of these”.
- It classifies whole images: no positions, no outlines.
- Its accuracy holds for images like those it was measured on; another camera, season or background can cost some.
- Its confidence is what the network says of itself, and is not calibrated.
- The licence of the backbone’s weights and the rights to the training photos bear on it as well."""


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {_plain(name)} | {_plain(value)} |" for name, value in rows)])


def _plain(text: str) -> str:
    """``text`` on one line, read as text by every Markdown reader: no tag, table cell, link or emphasis."""
    line = " ".join(printable(text).split())
    return _MARKUP.sub(r"\\\1", escape(line, quote=False))
