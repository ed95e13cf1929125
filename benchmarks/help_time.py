"""How long does ``edgewise --help`` take?  Median of ten processes, beside a bare Python's.

python benchmarks/help_time.py
"""

import statistics
import subprocess
import sys
import time


def median_seconds(*arguments: str) -> float:
    """Wall seconds of ``python ARGUMENTS``, the median of ten."""
    times = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


print(
    f"edgewise --help {median_seconds('-m', 'edgewise', '--help'):.2f} s, bare python {median_seconds('-c', ''):.2f} s"
)
