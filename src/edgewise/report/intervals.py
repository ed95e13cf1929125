"""How far an accuracy can be trusted, given how many images it was measured on."""

import math

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for ``hits`` of ``n``: (low, high), fractions from 0 to 1; 95 % by default.

    Unlike the textbook's p ± z·sqrt(p(1-p)/n) it stays inside [0, 1] and keeps a width at 0 and
    n hits (E. B. Wilson, JASA 22, 1927).  Images are taken as independent.
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} hits of {n} images is not a proportion")
    p, zz = hits / n, z * z
    centre = (p + zz / (2 * n)) / (1 + zz / n)
    half = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n)) / (1 + zz / n)
    # At the ends the exact limit is 0 or 1; rounding must not put it beside the point it belongs to.
    return (0.0 if hits == 0 else max(0.0, centre - half)), (1.0 if hits == n else min(1.0, centre + half))
