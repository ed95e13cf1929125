"""``edgewise models``: the backbones there are."""

from edgewise.cli.console import answer, next_commands, paragraph, show_table
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json


def models(as_json: Json = False, debug: Debug = False) -> None:
    """List the backbones that can be adapted."""
    found = job("models").models()
    if as_json:
        answer({"models": found})
        return
    show_table(
        ["Name", "Input", "Weights", "What it is"],
        [
            [row["name"], f"{row['size']} px", "included" if row["weights"] else "your file", row["description"]]
            for row in found
        ],
        numbers=[1],
    )
    paragraph(
        "Also timm:NAME (with the extra edgewise[timm]), hf:NAME_OR_FOLDER (with edgewise[hf]), "
        "and from Python any torch.nn.Module."
    )
    next_commands("edgewise fit DATA --backbone NAME --weights FILE")
