"""The house keeps its rules, and every rule can be broken: a check that cannot fail checks nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from house import MOST_PUBLIC_NAMES, RULES, STOREYS, sources

ROOT = Path(__file__).resolve().parents[2] / "src" / "edgewise"
FAKE_HEAVY = {"../torch.py": "", "../timm.py": ""}

# rule → small trees that break it, and what is said about them
VIOLATIONS: list[tuple[str, dict[str, str], str]] = [
    ("one_direction", {"core/a.py": "import edgewise.cli.main\n"}, "core/a.py:1 imports edgewise.cli.main"),
    ("one_direction", {"data/a.py": "from edgewise.train import loop\n"}, "data/a.py:1 imports edgewise.train"),
    ("one_direction", {"report/a.py": "from edgewise.cost import Cost\n"}, "report/a.py:1 imports edgewise.cost"),
    ("one_direction", {"adapt/a.py": "def f():\n    import edgewise.search.grow\n"}, "adapt/a.py:2"),
    ("one_direction", {"core/a.py": "import edgewise\n"}, "core/a.py:1 imports edgewise,"),
    ("one_direction", {"cellar/a.py": ""}, "the folder cellar has no place"),
    (
        "members_through_registry",
        {"jobs/a.py": "from edgewise.adapt.repnet import RepNet\n"},
        "jobs/a.py:1 imports edgewise.adapt.repnet; reach it through edgewise.adapt",
    ),
    (
        "members_through_registry",
        {"jobs/a.py": "from edgewise.adapt import repnet\n", "adapt/repnet.py": ""},
        "jobs/a.py:1 imports edgewise.adapt.repnet",
    ),
    (
        "members_through_registry",
        {"train/a.py": "from edgewise.backbones.mobilenet_v2 import MobileNetV2\n"},
        "train/a.py:1 imports edgewise.backbones.mobilenet_v2",
    ),
    ("no_import_in_function", {"jobs/a.py": "def f():\n    from edgewise.core import files\n"}, "jobs/a.py:2"),
    ("no_import_in_function", {"jobs/a.py": "import importlib\nimportlib.import_module('edgewise.cli')\n"}, "a.py:2"),
    ("no_import_in_function", {"jobs/a.py": "name = 'x'\n__import__(name)\n"}, "jobs/a.py:2 calls __import__"),
    ("absolute_imports", {"core/a.py": "from .files import write_text\n"}, "core/a.py:1 has a relative import"),
    ("absolute_imports", {"core/a.py": "from os.path import *\n"}, "core/a.py:1 has a star import"),
    ("named_files", {"core/utils.py": ""}, "core/utils.py: name the concept"),
    ("no_probing", {"core/a.py": "hasattr(1, 'real')\n"}, "core/a.py:1 probes with hasattr"),
    ("no_probing", {"core/a.py": "getattr(1, 'real', None)\n"}, "core/a.py:1 probes with getattr"),
    ("short_files", {"core/a.py": "x = 1\n" * 401}, "core/a.py: 401 lines, at most 400"),
    ("declared_packages", {"core/a.py": "import pandas\n"}, "core/a.py:1 imports pandas, which is not a dependency"),
    ("declared_packages", {"jobs/a.py": "import timm\n"}, "jobs/a.py:1 imports timm; its place is"),
    ("declared_packages", {"backbones/external.py": "import timm\n"}, "imports timm before it is needed"),
    ("light_import", {"__init__.py": "import torch\n", **FAKE_HEAVY}, "loads torch"),
    ("light_import", {"__init__.py": "import os\nos.environ['OMP_NUM_THREADS'] = '1'\n"}, "environment"),
    ("light_help", {"__main__.py": "import timm\n", **FAKE_HEAVY}, "-m edgewise --help loads timm"),
    (
        "light_help",
        {"__main__.py": "import sys\nif 'fit' in sys.argv: import torch\n", **FAKE_HEAVY},
        "fit --help loads",
    ),
    ("few_public_names", {"__init__.py": f"__all__ = [*'{'abcdefghijklmnop'}']\n"}, "16 public names, at most 15"),
]


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_the_rule(rule: str) -> None:
    assert RULES[rule](ROOT) == []


@pytest.mark.parametrize(("rule", "files", "said"), VIOLATIONS, ids=[f"{v[0]}-{i}" for i, v in enumerate(VIOLATIONS)])
def test_the_rule_can_be_broken(rule: str, files: dict[str, str], said: str, tmp_path: Path) -> None:
    root = tmp_path / "edgewise"
    for name, text in {"__init__.py": "__all__ = []\n", "__main__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    faults = RULES[rule](root)
    assert len(faults) >= 1
    assert said in faults[0]


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES)


def test_a_well_built_tree_breaks_no_rule(tmp_path: Path) -> None:
    root = tmp_path / "edgewise"
    for name, text in {
        "__init__.py": "__all__ = ['a']\n",
        "__main__.py": "",
        "core/errors.py": "import os\n",
        "adapt/__init__.py": "from edgewise.adapt.last import LastLayer\n",
        "adapt/last.py": "from edgewise.core.errors import E\nimport torch.nn\n",
        "search/base.py": "from edgewise.adapt import LastLayer\n",
        "backbones/external.py": "def f():\n    import timm\n",
        "jobs/fit.py": "from edgewise.adapt.base import Method\nfrom edgewise.report import page\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert {rule: RULES[rule](root) for rule in RULES} == {rule: [] for rule in RULES}


def test_the_real_tree_is_what_is_checked() -> None:
    names = {source.name for source in sources(ROOT)}
    assert {"core/errors.py", "adapt/base.py", "cli/main.py", "jobs/fit.py"} <= names
    assert sum(len(source.imports) for source in sources(ROOT)) > 200
    assert len(STOREYS) == 17


def test_help_loads_nothing_heavy() -> None:
    """What keeps ``--help`` quick; ``benchmarks/help_time.py`` measures how quick."""
    code = "import sys; from edgewise.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "edgewise.cli.main" in loaded
    assert not loaded & {"torch", "numpy", "PIL", "jinja2", "edgewise.jobs.fit"}


def test_public_names_are_few_and_all_there() -> None:
    """In a process of its own, with the folders imported first, which is when a verb could be hidden by its folder."""
    code = (
        "import edgewise.adapt.base, edgewise.cost, edgewise as ew\n"
        "assert all(callable(getattr(ew, name)) for name in ew.__all__ if name != '__version__'), 'callable'\n"
        "assert ew.adapt.METHODS['repnet'] is ew.RepNet\n"
        "assert issubclass(ew.EdgewiseError, Exception)\n"
        "assert dir(ew) == sorted(ew.__all__)\n"
        "try:\n    ew.adpt\nexcept AttributeError as error:\n    print(error)\n"
        "print(len(ew.__all__))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    message, count = done.stdout.splitlines()
    assert message == "module 'edgewise' has no attribute 'adpt'"
    assert 1 < int(count) <= MOST_PUBLIC_NAMES
