"""``docs/check.py`` finds what is wrong, and finds nothing wrong here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def checked(root: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "check.py"), str(root)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_this_repository() -> None:
    assert checked(ROOT) == (0, ["The documentation's links, files and commands are all there."])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](gone.md)", "README.md: the link gone.md leads nowhere"),
        ("![p](docs/gone.png)", "README.md: the link docs/gone.png leads nowhere"),
        ('<img src="gone.svg">', "README.md: the link gone.svg leads nowhere"),
        ("[a](docs/here.md#not-there)", "README.md: there is no heading #not-there in here.md"),
        ("[a](#missing)", "README.md: there is no heading #missing in README.md"),
        ("[a](../../../../../etc)", "README.md: the link ../../../../../etc leaves the repository"),
        ("run `python examples/gone.py`", "README.md: there is no examples/gone.py"),
        ("say `edgewise fti`", "README.md: there is no verb edgewise fti"),
        ("```\nedgewise fti photos\n```", "README.md: there is no verb edgewise fti"),
    ],
)
def test_a_fault_is_found(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "here.md").write_text("# Here\n")
    (tmp_path / "README.md").write_text(text)
    assert checked(tmp_path) == (1, [said])


def test_what_is_right_is_left_alone(tmp_path: Path) -> None:
    for name, text in {
        "docs/here.md": "# What it's not: a page\n",
        "examples/a.py": "",
        "src/edgewise/cli/jobs.py": 'JOBS = {\n    "fit": "edgewise.jobs.fit",\n}\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "README.md").write_text(
        "# Top\n[up](#top) [page](docs/here.md#what-its-not-a-page) [web](https://example.org) `[x](y.md)`\n"
        "```\nedgewise fit photos\n[z](z.md)\n```\nsee examples/a.py and `edgewise fit`\n"
    )
    assert checked(tmp_path)[0] == 0
