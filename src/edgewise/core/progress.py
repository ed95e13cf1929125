"""What a job tells whoever watches it.  A job never knows how the terminal looks."""

from collections.abc import Mapping
from typing import Any, Protocol


class Listener(Protocol):
    """Receives what happens in a job, in order."""

    def stage(self, text: str) -> None:
        """A new piece of work begins: ``"Looking at 1,500 photos"``."""

    def progress(self, done: int, total: int) -> None:
        """``done`` of ``total`` steps of the present stage are finished."""

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """An epoch ended; ``row`` is its line of ``metrics.csv``."""

    def note(self, text: str) -> None:
        """A fact or a warning the user should read."""


class Silent:
    """A listener that ignores everything."""

    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None: ...

    def note(self, text: str) -> None: ...
