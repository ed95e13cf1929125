"""The one lazy table of the command line: which job a verb calls.

A job brings torch with it, which takes seconds to import.  A verb's file therefore reaches its
job through this table, when it runs; ``--help`` and a mistyped option never wait for torch.
"""

import importlib
from types import ModuleType

from edgewise.core.errors import EdgewiseError

JOBS = {
    "demo": "edgewise.jobs.demo",
    "fit": "edgewise.jobs.fit",
    "eval": "edgewise.jobs.evaluate",
    "predict": "edgewise.jobs.predict",
    "models": "edgewise.jobs.catalogue",
    "methods": "edgewise.jobs.catalogue",
    "doctor": "edgewise.jobs.doctor",
    "plan": "edgewise.jobs.plan",
    "profile": "edgewise.jobs.profile",
    "compare": "edgewise.jobs.compare",
    "reprogram": "edgewise.jobs.reprogram",
    "serve": "edgewise.jobs.serve",
    "compress": "edgewise.jobs.compress",
    "subnets": "edgewise.jobs.subnets",
    "export": "edgewise.jobs.export",
}
EXTRAS = {"fastapi": "edgewise[serve]", "pydantic": "edgewise[serve]"}


def job(verb: str) -> ModuleType:
    """The module that does the work of ``verb``; `EdgewiseError` where a package it needs is broken."""
    try:
        return importlib.import_module(JOBS[verb])
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "edgewise":
            raise
        if missing in EXTRAS:
            raise EdgewiseError(f"edgewise {verb} needs {missing}: pip install '{EXTRAS[missing]}'.") from error
        raise EdgewiseError(
            f"A package that Edgewise needs cannot be imported: {error}. "
            "Install it again: pip install --force-reinstall edgewise"
        ) from error
