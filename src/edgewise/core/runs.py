"""The run folder: the same names in the same places for every kind of run.

::

    RUN/  config.yaml   every setting, resolved        record.json   what was done and measured
          metrics.csv   one row an epoch               log.txt       report.html   assets/
          artifact/     what you carry away            checkpoint/   what --resume needs
"""

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import append_line, read_json, write_json, write_text

RECORD_SCHEMA = "edgewise-record-1"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run; creating the object touches nothing."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def record(self) -> Path:
        return self.root / "record.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.csv"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def assets(self) -> Path:
        return self.root / "assets"

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint"

    def create(self, config: Mapping[str, Any], resume: bool) -> None:
        """Make the folder and write ``config.yaml``, unless the run to resume is there already."""
        if not self.started(config, resume):
            write_text(self.config, _yaml(config))

    def started(self, config: Mapping[str, Any], resume: bool) -> bool:
        """Is the run with these settings there, to be resumed?  Touches nothing.

        A run that was killed before it could write anything is resumed by starting it.
        Raises `UsageError` when the folder already holds something and ``resume`` is false, or
        when ``resume`` is true and the settings differ from those the run was started with.
        """
        if self.root.is_file():
            raise UsageError(f"{self.root} is a file; --out names the folder of the run.")
        used = self.root.is_dir() and any(p.suffix != ".part" for p in self.root.iterdir())
        if resume and used:
            self._check_same(yaml.safe_load(_yaml(config)))
        elif used:
            raise UsageError(
                f"The folder {self.root} is in use. Choose another with --out, or add --resume to finish the run in it."
            )
        return used

    def read_config(self) -> dict[str, Any]:
        """The settings in ``config.yaml``."""
        try:
            value = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise EdgewiseError(f"{self.root} is not a run folder: there is no config.yaml in it.") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise EdgewiseError(f"{self.config} cannot be read ({error}).") from error
        if not isinstance(value, dict):
            raise EdgewiseError(f"{self.config} does not hold settings. Was it edited?")
        return value

    def read_record(self) -> dict[str, Any]:
        """The record of a finished run."""
        record = read_json(self.record, "record of the run")
        if not isinstance(record, dict) or record.get("schema") != RECORD_SCHEMA:
            raise EdgewiseError(f"{self.record} is not a record that this version of Edgewise reads.")
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_json(self.record, {"schema": RECORD_SCHEMA, **record})

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """One row an epoch; the columns are the keys of the first row."""
        out = io.StringIO()
        if rows:
            writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_text(self.metrics, out.getvalue())

    def say(self, line: str) -> None:
        """Append one line with the time of day to ``log.txt``."""
        append_line(self.log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")

    def _check_same(self, config: Mapping[str, Any]) -> None:
        if not self.config.exists():
            raise UsageError(f"{self.root} holds no run to resume: there is no config.yaml in it.")
        before = self.read_config()
        changed = [key for key in dict.fromkeys([*before, *config]) if before.get(key) != config.get(key)]
        if changed:
            rows = "; ".join(f"{key} was {before.get(key)!r} and is now {config.get(key)!r}" for key in changed)
            raise UsageError(
                f"The run in {self.root} was started with other settings: {rows}. Repeat the first command."
            )


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
