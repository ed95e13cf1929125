"""The model card: ``README.md`` beside an adapter, for whoever finds the folder later."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from edgewise.core.units import percent
from edgewise.report.fit_record import SPLITS, Fit, read_fit
from edgewise.report.section import Section, printable

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~>-])")


def model_card(artifact: Mapping[str, Any], record: Mapping[str, Any] | None) -> str:
    """Markdown for ``RUN/artifact/README.md`` from ``artifact.json`` and, where there is one, ``record.json``.

    It counts the training images and never names one.  Raises `EdgewiseError` naming the key that is missing.
    """
    parts = Section(artifact, "", "artifact.json")
    backbone, method = parts.section("backbone"), parts.section("method")
    classes = parts.texts("classes")
    fit = read_fit(Section(record, "", "record.json")) if record is not None else None
    blocks = [
        f"# {_plain(method.text('name'))} adapter for {_plain(backbone.text('name'))}, {len(classes):,} classes",
        f"An {_plain(parts.text('kind'))} made by [Edgewise](https://pypi.org/project/edgewise/): the tensors in which "
        "an adapted image classifier differs from its backbone. Without the backbone’s weights it does nothing.",
        _how_to_use(),
        _accuracy(fit, parts.section("metrics")),
        "## Classes\n\n" + "\n".join(f"{index}. {_plain(name)}" for index, name in enumerate(classes)),
        _training_data(fit),
        _backbone(backbone),
        f"## Method\n\n{_table([('name', method.text('name')), *method.section('fields').settings()])}",
        f"## Preprocessing\n\n{_table([*parts.section('preprocess').settings()])}\n\n"
        "The shorter side is scaled to `resize`, the centre `crop` is cut out, and every channel becomes "
        "(x / 255 − mean) / std.",
        f"## Storage\n\n{_table([*parts.section('lean').settings()])}",
        _limits(classes),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _how_to_use() -> str:
    return """## Use

RUN is the folder of the run, the one that holds `artifact/`.

```
edgewise predict RUN photo.jpg
```

```python
import edgewise as ew

print(ew.open("RUN").predict("photo.jpg"))
```"""


def _accuracy(fit: Fit | None, metrics: Section) -> str:
    if fit is None:
        rows = [(name, value) for name, value in metrics.settings()]
        said = _table(rows) if rows else "Not recorded."
        return f"## Accuracy\n\n{said}"
    results = fit.results
    low, high = results.interval
    where = "test" if results.split == "test" else "validation"
    fair = (
        "The test images chose nothing."
        if results.split == "test"
        else "There was no test set: the validation images also chose the best epoch, so this is a little too good."
    )
    return (
        f"## Accuracy\n\n**{percent(results.accuracy)}** of {results.n:,} {where} images "
        f"(95 % interval {percent(low)} to {percent(high)}, Wilson). {fair} "
        f"Always answering the most frequent class gives {percent(results.guessing)}."
    )


def _training_data(fit: Fit | None) -> str:
    if fit is None:
        return ""
    data = fit.data
    head = "| class | train | val | test |\n| --- | --: | --: | --: |\n"
    rows = [
        f"| {_plain(name)} | " + " | ".join(f"{data.counts[split][index]:,}" for split in SPLITS) + " |"
        for index, name in enumerate(data.classes)
    ]
    total = "| all | " + " | ".join(f"{data.sizes[split]:,}" for split in SPLITS) + " |"
    return "## Training data\n\nNumbers of images:\n\n" + head + "\n".join([*rows, total])


def _backbone(backbone: Section) -> str:
    path = backbone.value.get("path")
    licence = backbone.value.get("licence")
    rows = [("name", backbone.text("name")), *backbone.section("settings").settings()]
    if isinstance(path, str):
        rows.append(("weights", (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).name))
    sha256 = backbone.raw("sha256")
    rows.append(("sha256 of the weights", "none: the weights were random" if sha256 is None else str(sha256)))
    rows.append(
        ("licence of the weights", licence if isinstance(licence, str) and licence else "not stated in the file")
    )
    return f"## Backbone\n\n{_table(rows)}"


def _limits(classes: list[str]) -> str:
    return f"""## Limits

- It answers with one of its {len(classes):,} classes, whatever the photo shows: there is no answer “none of these”.
- It classifies whole images. It finds no positions and no outlines.
- Its accuracy holds for images like those it was measured on; another camera, season or background can cost some.
- Its confidence is what the network says of itself, and is not calibrated.
- The licence of the backbone’s weights and the rights to the training photos apply to it as well."""


def _table(rows: list[tuple[str, str]]) -> str:
    if not rows:
        return "Nothing recorded."
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {_plain(name)} | {_plain(value)} |" for name, value in rows)


def _plain(text: str) -> str:
    """``text`` on one line, read as text by every Markdown reader: no tag, table cell, link or emphasis."""
    line = " ".join(printable(text).split())
    html = line.replace("&", "&amp;").replace("<", "&lt;")
    return _MARKUP.sub(r"\\\1", html)
