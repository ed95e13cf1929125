"""A source behind an address: asked over HTTP, patiently."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram.sources.black_box import BlackBox, Samples
from edgewise.reprogram.sources.ledger import Ledger
from edgewise.reprogram.space import Space

BUSY = {408, 425, 429, 500, 502, 503, 504}
LONGEST_PAUSE = 60.0


class UnreachableError(EdgewiseError):
    """A source did not answer, however often it was asked."""


class Endpoint:
    """An endpoint of `edgewise serve`; counts the bytes that cross in ``sent`` and ``received``.

    A request that finds nobody, takes longer than ``timeout`` seconds or is told to wait is repeated, ``tries`` times
    in all, after pauses that double from ``pause`` seconds (or as long as the answer's Retry-After says).  Needs httpx.
    """

    def __init__(
        self,
        address: str,
        token: str,
        timeout: float = 30.0,
        tries: int = 5,
        pause: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import httpx
        except ImportError:
            raise UsageError("A source behind an address needs httpx: pip install 'edgewise[reprogram]'.") from None
        if not address.startswith(("http://", "https://")):
            raise UsageError(f"{address!r} is no address of an endpoint: it begins with http:// or https://.")
        self.address, self.sent, self.received = address.rstrip("/"), 0, 0
        self._http, self._tries, self._pause, self._sleep = httpx, tries, pause, sleep
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
        self._client = httpx.Client(headers=headers, timeout=timeout, follow_redirects=False)

    def describe(self) -> dict[str, Any]:
        """What the model reads and answers, as it says."""
        return dict(self._asked("GET", "/v1/model", b""))

    def ask(self, samples: Samples) -> NDArray[Any]:
        """Its answers to samples as they are sent."""
        found = self._asked("POST", "/v1/answers", samples.tobytes())
        try:
            return np.asarray(found["answers"])
        except (KeyError, TypeError, ValueError):
            raise EdgewiseError(f"{self.address} answered with something that is not answers.") from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _asked(self, verb: str, path: str, body: bytes) -> Any:
        for attempt in range(1, self._tries + 1):
            wait = self._pause * 2 ** (attempt - 1)
            try:
                answer = self._client.request(verb, self.address + path, content=body)
            except self._http.HTTPError as error:
                complaint = f"{type(error).__name__}: {error}"
            else:
                self.sent += len(body)
                self.received += len(answer.content)
                if answer.status_code == 200:
                    return self._read(answer)
                complaint = f"{answer.status_code}: {answer.text[:200]}"
                if answer.status_code in (401, 403):
                    raise UsageError(f"{self.address} does not accept the token ({complaint}).")
                if answer.status_code not in BUSY:
                    raise EdgewiseError(f"{self.address} refused the request ({complaint}).")
                wait = _said_to_wait(answer.headers.get("Retry-After")) or wait
            if attempt < self._tries:
                self._sleep(min(wait, LONGEST_PAUSE))
        raise UnreachableError(f"{self.address} did not answer, tried {self._tries} times ({complaint}).")

    def _read(self, answer: Any) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise EdgewiseError(f"{self.address} answered with something that is not JSON.") from None


def of_endpoint(endpoint: Endpoint, ledger: Ledger) -> BlackBox:
    """The model behind ``endpoint``, as it describes itself; ``ledger`` notes the bytes that cross, too."""
    said = endpoint.describe()
    try:
        low = -np.inf if said["low"] is None else float(said["low"])
        high = np.inf if said["high"] is None else float(said["high"])
        takes = Space(tuple(int(side) for side in said["shape"]), low, high, int(said["symbols"]))
        classes, answers, most = int(said["classes"]), str(said["answers"]), int(said["most"])
    except (KeyError, TypeError, ValueError):
        raise EdgewiseError(f"{endpoint.address} does not describe its model as edgewise serve does.") from None
    if answers not in ("probs", "top-k", "label") or min(*takes.shape, classes, most) < 1:
        raise EdgewiseError(f"{endpoint.address} describes a model that cannot be: {said}.")

    def ask(samples: Samples) -> NDArray[Any]:
        sent, received = endpoint.sent, endpoint.received
        found = endpoint.ask(samples)
        ledger.crossed(endpoint.sent - sent, endpoint.received - received)
        return found

    return BlackBox(ask, takes, classes, answers, ledger, most, endpoint.address)  # type: ignore[arg-type]


def _said_to_wait(text: str | None) -> float | None:
    """Seconds; a date, which the header may be too, is not understood."""
    return float(text) if text is not None and text.isdigit() else None
