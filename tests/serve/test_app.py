"""A real server on loopback, and a source that is asked over HTTP."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram.sources import Endpoint, Ledger, WhiteBox, of_backbone, of_endpoint
from edgewise.reprogram.sources.black_box import on_wire
from edgewise.reprogram.space import Space
from serving import Running

uvicorn, httpx = pytest.importorskip("uvicorn"), pytest.importorskip("httpx")
TOKEN = "let-me-in"


def served(source: WhiteBox, **settings: Any) -> Running:
    from edgewise.serve.app import create_app

    return Running(create_app(source, TOKEN, **settings))


@pytest.fixture(scope="module")
def pocket() -> WhiteBox:
    return of_backbone(load("pocket"))


@pytest.fixture(scope="module")
def running(pocket: WhiteBox) -> Iterator[Running]:
    running = served(pocket, name="pocket", most=16)
    yield running
    running.stop()


def photos(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    """Makes endpoints that never sleep, and closes them."""
    made: list[Endpoint] = []

    def make(address: str, token: str = TOKEN, **settings: Any) -> Endpoint:
        made.append(Endpoint(address, token, **{"sleep": lambda seconds: None, **settings}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_model_behind_the_address_is_the_model(
    running: Running, pocket: WhiteBox, endpoint: Callable[..., Endpoint]
) -> None:
    asked, ledger = endpoint(running.address), Ledger()
    source = of_endpoint(asked, ledger)
    assert (source.takes, source.classes, source.answers) == (pocket.takes, 10, "probs")
    found = source(photos(20))
    rounded = torch.from_numpy(on_wire(photos(20), pocket.takes)) / 255
    with torch.no_grad():
        torch.testing.assert_close(found, pocket(rounded).softmax(1), atol=1e-6, rtol=1e-4)
    assert ledger.spent == 20
    assert asked.sent == 20 * 3 * 32 * 32, "a byte for every number"


@pytest.mark.parametrize("answers", ["top-k", "label"])
def test_it_tells_no_more_than_it_should(pocket: WhiteBox, answers: Any, endpoint: Callable[..., Endpoint]) -> None:
    running = served(pocket, answers=answers, top=3)
    try:
        source = of_endpoint(endpoint(running.address), Ledger())
        found = source(photos(5))
    finally:
        running.stop()
    with torch.no_grad():
        true = pocket(torch.from_numpy(on_wire(photos(5), pocket.takes)) / 255).softmax(1)
    assert torch.equal(found.argmax(1), true.argmax(1))
    if answers == "label":
        assert found.sum(1).tolist() == [1.0] * 5
    else:
        torch.testing.assert_close(found.topk(3).values, true.topk(3).values, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.sum(1), torch.ones(5))


def test_a_token_is_needed(running: Running, endpoint: Callable[..., Endpoint]) -> None:
    with pytest.raises(UsageError, match="does not accept the token"):
        of_endpoint(endpoint(running.address, "guess"), Ledger())
    assert httpx.get(f"{running.address}/v1/model").status_code == 401
    assert httpx.post(f"{running.address}/v1/answers", content=b"x").status_code == 401


def test_limits_of_a_request(running: Running) -> None:
    headers, size = {"Authorization": f"Bearer {TOKEN}"}, 3 * 32 * 32
    for body, status in ((b"", 422), (b"x" * (size - 1), 422), (b"x" * (17 * size), 413), (b"x" * (16 * size), 200)):
        assert httpx.post(f"{running.address}/v1/answers", content=body, headers=headers).status_code == status
    for path in ("/", "/docs", "/v1/../etc/passwd", "/v1/answers/x"):
        assert httpx.get(running.address + path, headers=headers).status_code == 404


def test_numbers_out_of_range_are_refused(endpoint: Callable[..., Endpoint]) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    running = served(WhiteBox(model, Space((4,), -1.0, 1.0), 3))
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for numbers in ([0, 0, 0, 2], [0, 0, 0, np.nan], [0, np.inf, 0, 0]):
            body = np.array(numbers, dtype="<f4").tobytes()
            found = httpx.post(f"{running.address}/v1/answers", content=body, headers=headers)
            assert found.status_code == 422
        with torch.no_grad():
            samples = torch.tensor([[0.5, -1, 1, 0.0]])
            torch.testing.assert_close(
                of_endpoint(endpoint(running.address), Ledger())(samples), model(samples).softmax(1)
            )
    finally:
        running.stop()


def test_nobody_there_is_said_after_some_tries(endpoint: Callable[..., Endpoint]) -> None:
    waits: list[float] = []
    asked = endpoint("http://127.0.0.1:9", tries=4, sleep=waits.append)
    with pytest.raises(EdgewiseError, match=r"did not answer, tried 4 times \(ConnectError"):
        asked.describe()
    assert waits == [0.5, 1.0, 2.0]
    with pytest.raises(UsageError, match="begins with http"):
        endpoint("127.0.0.1:80")


def a_server_that_answers(*answers: tuple[int, dict[str, str], bytes]) -> Running:
    """A bare ASGI application: one answer after the other, the last one for ever."""
    left = list(answers)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, headers, body = left.pop(0) if len(left) > 1 else left[0]
        pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    return Running(app)


GOOD = (
    b'{"shape": [4], "low": null, "high": null, "symbols": 0, "classes": 3, "answers": "probs", "most": 8, "name": "m"}'
)


@pytest.mark.parametrize(
    ("answers", "waited", "complaint"),
    [
        ([(503, {}, b""), (429, {"Retry-After": "7"}, b""), (200, {}, GOOD)], [0.5, 7.0], None),
        ([(500, {}, b"broken")], [0.5, 1.0, 2.0, 4.0], "tried 5 times .500: broken"),
        ([(404, {}, b"no such page")], [], "refused the request .404"),
        ([(200, {}, b"<html>")], [], "not JSON"),
        ([(200, {}, b'{"shape": "large"}')], [], "does not describe its model"),
        ([(200, {}, GOOD.replace(b"[4]", b"[0]"))], [], "a model that cannot be"),
        ([(200, {}, GOOD.replace(b"probs", b"logits"))], [], "a model that cannot be"),
        ([(302, {"Location": "http://elsewhere.invalid/"}, b"")], [], "refused the request .302"),
    ],
)
def test_patience_and_its_end(
    answers: list[Any], waited: list[float], complaint: str | None, endpoint: Callable[..., Endpoint]
) -> None:
    running, waits = a_server_that_answers(*answers), list[float]()
    try:
        asked = endpoint(running.address, sleep=waits.append)
        if complaint is None:
            assert of_endpoint(asked, Ledger()).classes == 3
        else:
            with pytest.raises(EdgewiseError, match=complaint):
                of_endpoint(asked, Ledger())
    finally:
        running.stop()
    assert waits == waited
