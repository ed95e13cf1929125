"""Workers end with the process they work for, however that one ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, time
from torch.utils.data import DataLoader
from edgewise.data.workers import settle_in

class Endless:
    def __len__(self): return 10**6
    def __getitem__(self, i):
        os.write(1, f"{os.getpid()}\\n".encode())  # whole: two of these may write at once
        return bytes(2**20)

if __name__ == "__main__":
    for _ in DataLoader(Endless(), batch_size=None, num_workers=2, worker_init_fn=settle_in):
        time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="the system's promise is Linux's")
def test_a_killed_process_leaves_no_workers(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers: set[int] = set()
        while len(workers) < 2:
            workers.add(int(parent.stdout.readline()))
        assert all(map(alive, workers))
        os.kill(parent.pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < end:
            time.sleep(0.05)
        left = [pid for pid in workers if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left
