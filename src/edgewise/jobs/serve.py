"""``edgewise serve``: a frozen model answers over HTTP, and keeps its weights to itself."""

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.settings import check, setting
from edgewise.jobs.reprogram_source import SourceRequest, open_white_box
from edgewise.reprogram import WhiteBox
from edgewise.serve.app import create_app


@dataclass(frozen=True)
class ServeRequest:
    """What is served, to whom, and how much of its answers is told."""

    model: str
    weights: str | None = None
    width: float | None = None
    image_size: int | None = None
    answers: Literal["probs", "top-k", "label"] = setting("probs", "what is told", choices=("probs", "top-k", "label"))
    top: int = setting(5, "classes that top-k tells", low=1, high=100_000)
    most: int = setting(64, "samples in a request", low=1, high=65_536)
    host: str = "127.0.0.1"
    port: int = setting(8000, "port, 0 for any that is free", low=0, high=65_535)
    token: str | None = None

    def __post_init__(self) -> None:
        check(self, "serve")
        if self.token is not None and len(self.token) < 8:
            raise UsageError(f"The token has {len(self.token)} characters; at least 8 are hard enough to guess.")


Ready = Callable[[str, str, bool], None]


def serve(request: ServeRequest, ready: Ready) -> None:
    """Serve until interrupted.

    ``ready`` is told the address, the token (made up where none was given) and whether other machines can reach it,
    when the port is taken and before the first request.  Raises `UsageError` for a model that cannot be served and
    `EdgewiseError` where the port is not to be had.
    """
    import uvicorn

    source, name = _source(request)
    token = request.token or secrets.token_urlsafe(24)
    listening = _listen(request.host, request.port)
    app = create_app(source, token, name, request.answers, min(request.top, source.classes), request.most)
    settings = uvicorn.Config(app, log_level="warning", timeout_keep_alive=30, limit_concurrency=64)
    host, port = listening.getsockname()[:2]
    ready(f"http://{host if ':' not in host else f'[{host}]'}:{port}", token, not _loopback(request.host))
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in order first, and then raises what ended it
        uvicorn.Server(settings).run(sockets=[listening])


def _source(request: ServeRequest) -> tuple[WhiteBox, str]:
    source, *_ = open_white_box(SourceRequest(request.model, request.weights, request.width, request.image_size))
    return source, Path(request.model).name


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise EdgewiseError(
            f"Port {port} of {host} is not to be had: {error.strerror or error}. --port 0 takes any that is free."
        ) from None
    return listening


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
