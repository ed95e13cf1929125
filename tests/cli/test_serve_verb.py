"""``edgewise serve``: a process of its own, asked over loopback, and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from commands import environment
from edgewise.cli.main import main
from edgewise.core.errors import EdgewiseError
from edgewise.reprogram import Endpoint, Ledger, of_endpoint

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@contextmanager
def serving(*words: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The process, its address, and its next line of output where no token was given."""
    command = [sys.executable, "-m", "edgewise", "serve", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(), **variables},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield process, address, "" if variables else process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_two_processes_on_loopback() -> None:
    photos = torch.rand(3, 3, 32, 32)
    with serving("pocket", "--port", "0", "--answers", "top-k", "--top", "2", EDGEWISE_TOKEN="a long secret") as (
        process,
        address,
        _,
    ):
        assert address.startswith("http://127.0.0.1:")
        endpoint = Endpoint(address, "a long secret")
        source = of_endpoint(endpoint, Ledger())
        assert (source.classes, source.answers) == (10, "top-k")
        found = source(photos)
        endpoint.close()
        assert found.shape == (3, 10)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=30)
    assert process.returncode == 0, complained
    assert said.endswith("Stopped.\n")
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-4)


def test_a_token_is_made_up_where_none_is_given() -> None:
    with serving("pocket", "--port", "0") as (_, address, token):
        assert len(token) >= 24
        endpoint, stranger = Endpoint(address, token), Endpoint(address, "a stranger's")
        assert endpoint.describe()["name"] == "pocket"
        with pytest.raises(EdgewiseError, match="does not accept the token"):
            stranger.describe()
        endpoint.close()
        stranger.close()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["pockt"], "Did you mean 'pocket'?"),
        (["mobilenet_v2"], "No weights of mobilenet_v2"),
        (["resnet20", "--weights", "none"], "no classifier of its own"),
        (["pocket", "--token", "short"], "The token has 5 characters"),
        (["pocket", "--answers", "logits"], "choose one of probs, top-k, label"),
        (["pocket", "--port", "70000"], "port is 70000"),
        (["pocket", "--host", "192.0.2.1", "--port", "0"], "is not to be had"),
    ],
)
def test_mistakes(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *words])
    assert ended.value.code in (1, 2)
    assert complaint in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SystemExit):
            main(["serve", "pocket", "--port", str(other.getsockname()[1])])
    assert "--port 0 takes any that is free" in capsys.readouterr().err
