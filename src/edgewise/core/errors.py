"""Errors that a user can mend.  Each message gives the fact, the value and the remedy.

The command line prints the message alone and exits with the class's ``status``; ``--debug`` shows
the traceback.  Anything that is not an `EdgewiseError` is a defect of Edgewise.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class EdgewiseError(Exception):
    """The work failed, and the message says what to do about it."""

    status = 1


class UsageError(EdgewiseError):
    """A name, a value or a combination was wrong; nothing has been done yet."""

    status = 2


class InterruptedRun(EdgewiseError):
    """The run was stopped by the user and can be resumed."""

    status = 3


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """``unknown("method", "repnt", METHODS)``: the error for a name that is not in ``known``."""
    choices = sorted(known)
    close = get_close_matches(name.lower(), choices, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UsageError(f"There is no {what} {name!r}.{hint} Known: {', '.join(choices)}.")
