"""The heap counter against allocations whose size is known, in a process that runs under it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import environment
from edgewise.cost import heap as module
from edgewise.cost.heap import VARIABLE, heap, preload, why_not
from edgewise.native.build import Built

NEAR = 64 * 1024
CHILD = Path(__file__).with_name("heap_child.py")


@pytest.fixture(scope="module")
def counted() -> dict[str, Any]:
    """What the child measured."""
    added = preload()
    if added is None:
        pytest.skip(f"no counter here: {why_not()}")
    done = subprocess.run(
        [sys.executable, str(CHILD)], env={**environment(), **added}, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("maker", ["torch", "numpy", "malloc", "calloc", "memalign", "aligned"])
def test_what_is_taken_and_given_back_is_counted(counted: dict[str, Any], maker: str) -> None:
    before, during, after, peak = counted[maker]
    assert during - before == pytest.approx(40_000_000, abs=NEAR)
    assert after - before == pytest.approx(0, abs=NEAR)
    assert peak - before == pytest.approx(40_000_000, abs=NEAR)


def test_the_peak_is_the_most_at_once_and_can_be_forgotten(counted: dict[str, Any]) -> None:
    before, peak, forgotten = counted["peak"]
    assert peak - before == pytest.approx(24_000_000, abs=NEAR), "8 + 16 MB together; 20 MB came after these were gone"
    assert forgotten - before == pytest.approx(0, abs=NEAR)


def test_a_block_that_grows_counts_once(counted: dict[str, Any]) -> None:
    sizes = counted["realloc"]
    assert [size - sizes[0] for size in sizes] == pytest.approx([0, 1e6, 9e6, 3e6, 0], abs=NEAR)


def test_a_failed_growth_keeps_what_was_there(counted: dict[str, Any]) -> None:
    before, after, gone = counted["failed"]
    assert after - before == pytest.approx(1_000_000, abs=NEAR)
    assert gone - before == pytest.approx(0, abs=NEAR)


def test_threads_lose_no_byte(counted: dict[str, Any]) -> None:
    before, during, after = counted["threads"]
    assert during - before == pytest.approx(4 * 5_000_000, abs=2 * NEAR)
    assert after - before == pytest.approx(0, abs=2 * NEAR)


def test_a_child_of_the_child_need_not_count(counted: dict[str, Any]) -> None:
    assert counted["grandchild"] == "None"


def test_this_process_was_not_started_under_the_counter() -> None:
    assert heap() is None or VARIABLE in os.environ


def test_what_was_preloaded_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build", lambda source: Built(Path("/c/counter.so")))
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert preload() == {VARIABLE: "/c/counter.so"}
    monkeypatch.setenv(VARIABLE, "other.so")
    assert preload() == {VARIABLE: "/c/counter.so:other.so"}


def test_where_it_is_impossible_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("", ""))
    assert preload() is None
    assert why_not() == "counting the heap needs Linux with glibc"
