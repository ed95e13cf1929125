"""A source as the user names it: a backbone with its own classifier, a finished run, or an address."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgewise.backbones import FAMILIES, load
from edgewise.core.errors import UsageError, unknown
from edgewise.jobs.opening import open_artifact
from edgewise.lean import make_lean
from edgewise.reprogram import BlackBox, Endpoint, Ledger, Space, WhiteBox, of_backbone, of_endpoint, of_network
from edgewise.reprogram import of_white_box as asked_only
from edgewise.reprogram.base import Answer, Source

TOLD = ("probs", "top-k", "label")
GREETINGS = 2  # a wrong address is a common mistake, and nobody waits long for it


@dataclass(frozen=True)
class SourceRequest:
    """Which model, and how it may be asked: ``black_box`` is all that a model which is here tells, None everything."""

    name: str
    weights: str | None = None
    width: float | None = None
    image_size: int | None = None
    black_box: str | None = None

    def __post_init__(self) -> None:
        if self.black_box is not None and self.black_box not in TOLD:
            raise unknown("kind of answer", self.black_box, TOLD)
        given = {"--weights": self.weights, "--width": self.width, "--image-size": self.image_size}
        if self.is_address and (said := [option for option, value in given.items() if value is not None]):
            raise UsageError(f"{' and '.join(said)} cannot be chosen for a model behind an address; leave it out.")

    @property
    def is_address(self) -> bool:
        return "://" in self.name

    @property
    def answers_only(self) -> bool:
        """Can it not be looked into?"""
        return self.is_address or self.black_box is not None


@dataclass(frozen=True)
class Reached:
    """A source that is there; nothing has been asked of it yet.

    ``white`` is the model itself where it is here, ``endpoint`` what it is asked through where it is not.  ``labels``
    are its classes' names and ``weight_bytes`` its size, both None where nobody says; ``sha256`` is its weight file's.
    ``calls_itself`` is the name that an endpoint gives its model.
    """

    request: SourceRequest
    takes: Space
    classes: int
    answers: Answer
    white: WhiteBox | None = None
    endpoint: Endpoint | None = None
    labels: tuple[str, ...] | None = None
    weight_bytes: int | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    calls_itself: str | None = None

    def source(self, ledger: Ledger | None) -> Source:
        """What is reprogrammed; a model that only answers does so behind ``ledger``."""
        if ledger is None:
            assert self.white is not None
            return self.white
        return self.black_box(ledger)

    def black_box(self, ledger: Ledger) -> BlackBox:
        """The model behind ``ledger``: it only answers."""
        if self.endpoint is not None:
            return of_endpoint(self.endpoint, ledger)
        assert self.white is not None
        return asked_only(self.white, self.answers, ledger, name=self.request.name)

    def close(self) -> None:
        """End the connection, where there is one."""
        if self.endpoint is not None:
            self.endpoint.close()


def reach(request: SourceRequest, token: str | None = None) -> Reached:
    """Find the source, free of cost: load it, or let the endpoint describe itself.

    Raises `UsageError` where it cannot be a source, and what loading or the connection raises.
    """
    if request.is_address:
        return _behind_address(request, token)
    white, labels, sha256, notes = open_white_box(request)
    answers: Answer = "logits" if request.black_box is None else request.black_box  # type: ignore[assignment]
    return Reached(request, white.takes, white.classes, answers, white, None, labels, white.weight_bytes, sha256, notes)


def open_white_box(request: SourceRequest) -> tuple[WhiteBox, tuple[str, ...] | None, str | None, tuple[str, ...]]:
    """The model of a backbone or a run that is here, its classes' names, its file's digest, and notes.

    It computes by a lean plan: gradients to what it reads then take a fraction of the memory.
    """
    path = Path(request.name)
    if path.is_dir():
        for option, value in (("--width", request.width), ("--image-size", request.image_size)):
            if value is not None:
                raise UsageError(f"{option} cannot be chosen for a finished run; leave it out.")
        opened = open_artifact(path, request.weights)
        return of_network(opened.model, opened.preprocess, len(opened.classes)), opened.classes, None, ()
    if len(path.parts) > 1 and ":" not in request.name:
        raise UsageError(f"There is no run at {request.name}, and no backbone has such a name.")
    if request.weights is None and request.name in FAMILIES and FAMILIES[request.name].weights is None:
        raise UsageError(
            f"No weights of {request.name} come with Edgewise: name a file with --weights FILE, or take another "
            f"model, such as pocket (which has its own) or timm:NAME."
        )
    backbone = load(request.name, weights=request.weights, width=request.width, image_size=request.image_size)
    source, sha256 = of_backbone(backbone), None if backbone.weights is None else backbone.weights.sha256
    return source, backbone.classes, sha256, (*backbone.notes, *make_lean(backbone.module))


def check_reads_photos(reached: Reached) -> None:
    """Raise `UsageError` where the source reads anything but colour images with numbers from 0 to 1."""
    takes = reached.takes
    if len(takes.shape) == 3 and not takes.symbols and (takes.low, takes.high) == (0.0, 1.0):
        return
    what = f"rows of {takes.symbols} symbols" if takes.symbols else f"numbers from {takes.low:g} to {takes.high:g}"
    raise UsageError(
        f"{reached.request.name} reads {what} of shape {takes.shape}, and this command shows it photos: three colours, "
        "0 to 1. edgewise.reprogram does more, from Python."
    )


def _behind_address(request: SourceRequest, token: str | None) -> Reached:
    _check_address(request.name)
    if not token:
        raise UsageError(f"{request.name} needs a token: give it by --token, or in the variable EDGEWISE_TOKEN.")
    if not (token.isascii() and token.isprintable()):
        raise UsageError("The token has characters that cannot be sent: it must be plain ASCII, without line breaks.")
    greeting = Endpoint(request.name, token, tries=GREETINGS)
    try:
        said, known = greeting.describe(), of_endpoint(greeting, ledger := Ledger())
        ledger.close()
    finally:
        greeting.close()
    if request.black_box not in (None, known.answers):
        raise UsageError(
            f"{request.name} tells {known.answers}, and --black-box says {request.black_box}; leave --black-box out."
        )
    size, own_name = said.get("weight_bytes"), said.get("name")
    return Reached(
        request,
        known.takes,
        known.classes,
        known.answers,
        endpoint=Endpoint(request.name, token),
        weight_bytes=size if isinstance(size, int) and size > 0 else None,
        calls_itself=own_name if isinstance(own_name, str) else None,
    )


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        there = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not any(map(str.isspace, address))
    except ValueError:
        there = False
    if not there or parts.scheme not in ("http", "https"):
        raise UsageError(f"{address!r} is no address of an endpoint: write http://HOST:PORT or https://HOST.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "The address may hold no password, question or anchor: it is written into the run folder. A token is given "
            "by --token, or in the variable EDGEWISE_TOKEN."
        )


def origin(reached: Reached, price: float) -> Mapping[str, Any]:
    """What an artifact remembers to find its source again; the token is not in it."""
    asked = reached.request
    return {
        "name": asked.name,
        "path": asked.weights,
        "sha256": reached.sha256,
        "width": asked.width,
        "image_size": asked.image_size,
        "black_box": asked.black_box,
        "price": price,
    }
