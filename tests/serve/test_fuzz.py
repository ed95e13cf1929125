"""Whatever is sent, the server says what is wrong with it and goes on: no answer of 500 and more."""

import pytest

from edgewise.backbones import load
from edgewise.reprogram import of_backbone

schemathesis = pytest.importorskip("schemathesis")
fastapi = pytest.importorskip("fastapi")

from hypothesis import HealthCheck, settings  # noqa: E402 (after what they need)

from edgewise.serve.app import create_app  # noqa: E402

TOKEN = "let-me-in"
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", create_app(of_backbone(load("pocket")), TOKEN, most=2))


@pytest.mark.filterwarnings("ignore")
@SCHEMA.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_nothing_brings_it_down(case: object) -> None:
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {}):
        answer = case.call(headers=headers)  # type: ignore[attr-defined]
        assert answer.status_code < 500, answer.text
        assert headers or answer.status_code in (401, 405), "without the token nothing is told"
