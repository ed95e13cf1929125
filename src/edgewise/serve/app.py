"""The endpoint: two addresses, a token, and limits.

``GET /v1/model`` says what the model reads and answers; ``POST /v1/answers`` takes samples as raw bytes and gives
answers as JSON.  Samples are what `edgewise.reprogram.sources.black_box.on_wire` makes: bytes 0 to 255 for images,
little-endian 64-bit whole numbers for symbols, little-endian 32-bit floats otherwise, one sample after the other.
Nothing in a request names a file, and nothing of it is kept.
"""

import hmac
import threading
from typing import Annotated, Any, Literal

import numpy as np
import torch
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from edgewise.core.errors import UsageError
from edgewise.reprogram import WhiteBox, answers_of, samples_of, wire_type

DIGITS = 6


class Described(BaseModel):
    """What the model reads and answers."""

    name: str
    shape: list[int]
    low: float | None
    high: float | None
    symbols: int
    classes: int
    answers: Literal["probs", "top-k", "label"]
    most: int
    weight_bytes: int


class Answers(BaseModel):
    """One entry a sample: probabilities, pairs of label and probability, or a label."""

    answers: list[list[float]] | list[list[list[float]]] | list[int]


def create_app(
    source: WhiteBox,
    token: str,
    name: str = "model",
    answers: Literal["probs", "top-k", "label"] = "probs",
    top: int = 5,
    most: int = 64,
) -> FastAPI:
    """The application that serves ``source`` to whoever has ``token``.

    ``answers`` is all it tells: probabilities, the ``top`` likeliest classes, or a label; ``most`` samples a request.
    """
    app = FastAPI(title="Edgewise endpoint", version="1", docs_url=None, redoc_url=None)
    numbers, at_work = wire_type(source.takes), threading.Lock()
    size = source.takes.numbers * numbers.itemsize
    bearer = HTTPBearer(auto_error=False)

    def allowed(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(401, "A bearer token is needed, and this is not it.", {"WWW-Authenticate": "Bearer"})

    def answered(body: bytes) -> Any:
        samples = samples_of(np.frombuffer(body, numbers).reshape(-1, *source.takes.shape), source.takes)
        with at_work, torch.no_grad():  # one at a time: memory is what a small server has least of
            probabilities = source(samples).softmax(1)
        return answers_of(probabilities.double().numpy(), answers, top).round(DIGITS).tolist()

    said: dict[int | str, dict[str, Any]] = {
        401: {"description": "no token, or not the right one"},
        413: {"description": "more samples than a request may hold"},
        422: {"description": "not a whole number of samples, or out of the model's range"},
    }

    @app.get("/v1/model", dependencies=[Depends(allowed)], responses={401: said[401]})
    def model() -> Described:
        takes = source.takes
        low, high = (value if np.isfinite(value) else None for value in (takes.low, takes.high))
        return Described(
            name=name, shape=list(takes.shape), low=low, high=high, symbols=takes.symbols, classes=source.classes,
            answers=answers, most=most, weight_bytes=source.weight_bytes,
        )  # fmt: skip

    @app.post(
        "/v1/answers",
        dependencies=[Depends(allowed)],
        responses=said,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def answer(request: Request) -> Answers:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > most * size:
                raise HTTPException(413, f"A request may hold {most} samples of {size} bytes; this one is longer.")
        if not body or len(body) % size:
            raise HTTPException(422, f"{len(body)} bytes are not a whole number of samples of {size} bytes.")
        try:
            return Answers(answers=await run_in_threadpool(answered, bytes(body)))
        except UsageError as reason:
            raise HTTPException(422, str(reason)) from None

    return app
