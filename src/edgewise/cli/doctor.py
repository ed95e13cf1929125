"""``edgewise doctor``: is this machine ready?"""

from dataclasses import asdict

from edgewise.cli.console import answer, next_commands, say, show_table
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json
from edgewise.core.errors import EdgewiseError


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Look at this machine and say what is missing, and how to mend it."""
    checks = job("doctor").diagnose()
    broken = [check for check in checks if not check.ok]
    if as_json:
        answer({"ok": not broken, "checks": [asdict(check) for check in checks]})
    else:
        show_table(["", "What", "Found"], [["ok" if check.ok else "NO", check.name, check.fact] for check in checks])
        say(*(f"{check.name}: {check.remedy}" for check in checks if check.remedy))
    if broken:
        raise EdgewiseError(f"This machine is not ready: {', '.join(check.name for check in broken)}.")
    if not as_json:
        next_commands("edgewise demo")
