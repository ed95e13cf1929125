"""``edgewise methods``: the ways to adapt a backbone, and their settings."""

from edgewise.cli.console import answer, next_commands, paragraph, show_table
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json


def methods(as_json: Json = False, debug: Debug = False) -> None:
    """List the methods and what --set can change in each."""
    found = job("methods").methods()
    if as_json:
        answer({"methods": found})
        return
    for row in found:
        paragraph(f"{row['name']}: {row['title']} ({row['grade']}). {row['summary']}")
        show_table(
            ["Setting", "Default", "Values", "What it does"],
            [[s["name"], s["default"], s["values"], s["help"]] for s in row["settings"]],
        )
    next_commands("edgewise fit DATA --weights FILE --method repnet --set connect=up")
