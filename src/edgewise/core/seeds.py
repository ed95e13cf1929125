"""One seed, many independent streams: randomness that depends on *where* one is, not on *when*.

A training step, an augmentation or an initialisation seeds itself from (seed, its coordinates).
Resuming in the middle then needs no saved generator, and the number of workers changes nothing.
"""

import numpy as np


def derive(seed: int, *coordinates: int) -> int:
    """A 63-bit seed for the stream at ``coordinates`` (whole numbers >= 0)."""
    words = np.random.SeedSequence(seed, spawn_key=coordinates).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])
