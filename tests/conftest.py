"""What every test stands on: one thread, no colours, and the real data where it is at hand."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from commands import COLOURFUL

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# The networks here are small; two threads that wait for each other crawl beside a busy process.
torch.set_num_threads(1)
# A slow machine is not a failing property, and a failure must come back the next time.
settings.register_profile("edgewise", deadline=None, derandomize=True)
settings.load_profile("edgewise")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are compared, so no colours and one width, whatever terminal the tests run in."""
    for name in COLOURFUL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes that a test starts


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and real photos, which is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here: real weights and photos are not part of the repository")
    return SHARED
