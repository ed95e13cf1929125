"""Where weights are looked for by their SHA-256 when they are not where a run had them."""

import os
from pathlib import Path

PATTERNS = ("*.safetensors", "*.pth", "*.pt")


def cache_folder() -> Path:
    """``$EDGEWISE_CACHE``, by default ``~/.cache/edgewise``; it need not exist."""
    return Path(os.environ.get("EDGEWISE_CACHE") or Path.home() / ".cache" / "edgewise")


def cached_weights() -> list[Path]:
    """The weight files in it, by name."""
    return sorted(path for pattern in PATTERNS for path in cache_folder().glob(pattern))
