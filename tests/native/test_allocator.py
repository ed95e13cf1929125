"""Memory that is free leaves the process, and code that nothing runs; what is needed comes back."""

import subprocess
import sys

import pytest

from commands import environment
from edgewise.cost.resident import resident
from edgewise.native.allocator import forget_code, give_memory_back

tells = pytest.mark.skipif(
    resident() is None or not sys.platform.startswith("linux"), reason="the system does not tell a resident size"
)

CODE_FORGOTTEN = """
import torch
from edgewise.cost.resident import resident
from edgewise.native.allocator import forget_code
x = torch.linspace(0, 1, 48).view(1, 3, 4, 4).requires_grad_()
def work():
    y = torch.nn.functional.conv2d(x, torch.ones(2, 3, 3, 3)).square().sum()
    return y.item(), torch.autograd.grad(y, x)[0].sum().item()
first, before = work(), resident()
let_go = forget_code()
after = resident()
print(before - after, let_go, resident() < before, work() == first, forget_code() > 0, work() == first)
"""

# When a large block is freed, glibc raises its threshold to that size: the large ones after it lie in the heap,
# and stay there when they are free.
FREED = """
import ctypes, sys
from edgewise.cost.resident import resident
from edgewise.native.allocator import give_memory_back
if sys.argv[1] == "given back":
    assert give_memory_back()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def block(size):
    place = libc.malloc(size)
    ctypes.memset(place, 1, size)
    return place
libc.free(block(30_000_000))
base = resident()
blocks = [block(20_000_000), block(20_000_000)]
full = resident() - base
for place in blocks:
    libc.free(place)
print(full, resident() - base)
"""


def told(code: str, *arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@tells
def test_code_leaves_memory_and_runs_again() -> None:
    fell, let_go, *held = told(CODE_FORGOTTEN)
    assert 20_000_000 < int(fell) <= int(let_go)
    assert held == ["True"] * 4


@tells
def test_freed_memory_leaves_the_process() -> None:
    full, left = map(int, told(FREED, "given back"))
    assert full > 38_000_000
    assert left < 3_000_000


@tells
@pytest.mark.slow
def test_without_it_the_process_keeps_it() -> None:
    """What the setting is for; should a glibc stop doing this, the setting can go."""
    full, left = map(int, told(FREED, "as it comes"))
    assert left > full / 2


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_nothing_is_done(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert forget_code() == 0
    assert give_memory_back() is False
