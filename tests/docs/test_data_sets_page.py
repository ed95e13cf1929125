"""The page about the papers' data sets: its commands run as they stand, its table is the registry's."""

import json
import re
import shlex
from pathlib import Path

import pytest

from commands import edgewise
from edgewise.core.cache import cache_folder
from edgewise.data.official import OFFICIAL
from official_archives import ARCHIVES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data_sets.md"


def test_the_table_is_what_the_loaders_know() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+) \| ([\d,]+) \| ([\d,]+) \| ([\d,–]+) \| ([\d,]+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [row[0] for row in rows] == list(OFFICIAL)
    for name, title, downloads, classes, *sizes in rows:
        chosen = OFFICIAL[name]
        assert title.startswith(chosen.title)
        assert classes == str(chosen.classes)
        assert sizes == [
            f"{chosen.photos[split]:,}" if split in chosen.photos else "–" for split in ("train", "val", "test")
        ]
        if name != "mnist":
            assert set(re.findall(r"`(.+?)`", downloads)) == {piece.download for piece in chosen.pieces}


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a miniature archive where the page's folder is; ``~`` reaches Edgewise as it is."""
    monkeypatch.setenv("EDGEWISE_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(tmp_path))
    ARCHIVES["flowers102"](tmp_path / "data" / "flowers102")
    block = re.search(r"^```\n(.+?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block
    commands = block[1].splitlines()
    assert [line.split()[:2] for line in commands] == [["edgewise", "fit"], ["edgewise", "eval"]]
    for line in commands:
        done = edgewise(tmp_path, *shlex.split(line)[1:])
        assert (done.returncode, done.stderr) == (0, "")
    assert "on 6 photos (test)" in done.stdout
    record = json.loads((tmp_path / "runs/fit-1/record.json").read_text(encoding="utf-8"))
    assert [record["data"][part] for part in ("train", "val", "test")] == [3, 3, 6]
    assert record["data"]["classes"][2] == "010 globe thistle"
