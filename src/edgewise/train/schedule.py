"""Learning rates over a run."""

import math


def cosine(progress: float) -> float:
    """Factor at ``progress`` (0 at the first step, towards 1 after the last): 1 falling to 0, no warm-up."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def steps(progress: float) -> float:
    """1, and from 40, 60 and 80 % of the run on 1/10, 1/100 and 1/200: epochs 80, 120 and 160 of 200 (He et al.)."""
    return math.prod(share for start, share in ((0.4, 0.1), (0.6, 0.1), (0.8, 0.5)) if progress >= start)


SCHEDULES = {"cosine": cosine, "steps": steps}
