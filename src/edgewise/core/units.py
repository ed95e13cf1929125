"""Numbers as people read them.  MB is 10^6 bytes everywhere in Edgewise."""


def megabytes(count: float) -> str:
    """``1580000`` → ``"1.58 MB"``; below a tenth of a megabyte kB."""
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def duration(seconds: float) -> str:
    """``75`` → ``"1 min 15 s"``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def percent(fraction: float | None) -> str:
    """``0.9431`` → ``"94.3 %"``; None (not measured) is a dash."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"
