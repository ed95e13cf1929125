"""Learning rates over a run."""

import math


def cosine(progress: float) -> float:
    """Factor at ``progress`` (0 at the first step, towards 1 after the last): 1 falling to 0, no warm-up."""
    return 0.5 * (1 + math.cos(math.pi * progress))
