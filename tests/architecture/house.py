"""The rules of the house, each a function from a source tree to the list of its violations.

A tree is the folder of a package called ``edgewise``.  `RULES` is what the tests run, on the real
tree and on small trees that break one rule each.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# From the ground up: a folder imports only from lines above its own, and from itself.
STOREYS = (
    ("core",),
    ("native",),
    ("ops",),
    ("layers",),
    ("backbones",),
    ("data",),
    ("cost",),
    ("lean",),
    ("train",),
    ("report",),
    ("adapt", "reprogram", "compress", "subnets", "continual", "search"),
    ("plan",),
    ("export",),
    ("federated",),
    ("serve",),
    ("jobs",),
    ("cli",),
)
LEVEL = {folder: level for level, storey in enumerate(STOREYS) for folder in storey}
TECHNIQUES = STOREYS[LEVEL["adapt"]]
DECLARED_EXCEPTIONS = {("search", "adapt")}
NARROWER = {"report": {"core", "report"}}  # it reads run folders, and must open where torch is absent

# Modules of a registry's folder that are not members: everybody may import them.
SHARED_MODULES = {
    "backbones": {
        "base",
        "blocks",
        "external",
        "families",
        "family_loading",
        "loading",
        "matching",
        "recognition",
        "stages",
        "weight_files",
        "weight_records",
        "weights",
    },
    **{technique: {"base"} for technique in TECHNIQUES},
}

LAZY_FILES = {"__init__.py", "cli/jobs.py"}  # PEP 562 attributes, and the table of jobs
CORE_PACKAGES = {"torch", "numpy", "PIL", "safetensors", "yaml", "rich", "typer", "jinja2"}
OPTIONAL_PACKAGES = {
    "timm": {"backbones/external.py"},
    "transformers": {"backbones/external.py"},
    "tokenizers": {"reprogram/sources/text.py"},
    "torchvision": {"backbones/external.py"},
    "sklearn": {"jobs/digits.py", "reprogram/reprogrammed.py"},
    "scipy": {"reprogram/mappings/assignment.py"},
    "httpx": {"reprogram/sources/http.py"},
    "fastapi": {"serve/app.py"},
    "pydantic": {"serve/app.py"},
    "uvicorn": {"jobs/serve.py"},
}
OPTIONAL_FILES = {"serve/app.py"}  # nothing without their package, and imported only by a job that needs it
HEAVY = {"torch", "torchvision", "timm", "transformers", "matplotlib", "sklearn", "scipy", "fastapi"}
NAMELESS = {"utils", "util", "helpers", "misc", "common"}
LONGEST_FILE, MOST_PUBLIC_NAMES = 400, 15


@dataclass(frozen=True)
class Import:
    """One imported module: ``edgewise.core.errors``, ``torch.nn``; a leading dot is kept."""

    module: str
    line: int
    in_function: bool
    star: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class Source:
    """A file of the tree."""

    name: str  # relative, with forward slashes
    tree: ast.Module
    lines: int
    imports: tuple[Import, ...]

    @property
    def folder(self) -> str:
        """Its folder in the package; files at the top stand above all folders."""
        return self.name.partition("/")[0] if "/" in self.name else ""


def one_direction(root: Path) -> list[str]:
    """A folder imports only from folders before it; ``report`` only from ``core``."""
    faults = []
    for source in sources(root):
        if source.folder and source.folder not in LEVEL:
            faults.append(f"{source.name}: the folder {source.folder} has no place in the house")
        elif source.folder:
            faults += [
                f"{source.name}:{line.line} imports {line.module}, which stands above or beside {source.folder}"
                for line in source.imports
                if line.top == "edgewise" and not _may_import(source.folder, _folder_of(line.module))
            ]
    return faults


def members_through_registry(root: Path) -> list[str]:
    """Nobody outside a registry's folder imports one of its members' files."""
    return [
        f"{source.name}:{line.line} imports {line.module}; reach it through edgewise.{folder}"
        for source in sources(root)
        if source.name != "__init__.py"
        for line in source.imports
        for folder, shared in SHARED_MODULES.items()
        if line.module.startswith(f"edgewise.{folder}.") and source.folder != folder
        if line.module.split(".")[2] not in shared
    ]


def no_import_in_function(root: Path) -> list[str]:
    """Our own modules are imported at the top, by name; only the lazy files may do otherwise."""
    faults = []
    for source in sources(root):
        if source.name in LAZY_FILES:
            continue
        faults += [
            f"{source.name}:{line.line} imports {line.module} inside a function"
            for line in source.imports
            if line.in_function and line.top in ("edgewise", "")
        ]
        faults += [
            f"{source.name}:{node.lineno} calls {called}"
            for node, called in _calls(source.tree)
            if called in ("__import__", "import_module", "importlib.import_module") and not _names_foreign(node)
        ]
    return faults


def absolute_imports(root: Path) -> list[str]:
    """No relative import, no star import."""
    return [
        f"{source.name}:{line.line} has a {'star' if line.star else 'relative'} import"
        for source in sources(root)
        for line in source.imports
        if line.star or line.module.startswith(".")
    ]


def named_files(root: Path) -> list[str]:
    """A file is named after its concept."""
    return [f"{source.name}: name the concept" for source in sources(root) if Path(source.name).stem in NAMELESS]


def no_probing(root: Path) -> list[str]:
    """No ``hasattr``, and no three-argument ``getattr`` that is the same question."""
    return [
        f"{source.name}:{node.lineno} probes with {called}"
        for source in sources(root)
        for node, called in _calls(source.tree)
        if called == "hasattr" or (called == "getattr" and len(node.args) == 3)
    ]


def short_files(root: Path) -> list[str]:
    """At 400 lines there is a second concept in the file."""
    return [f"{s.name}: {s.lines} lines, at most {LONGEST_FILE}" for s in sources(root) if s.lines > LONGEST_FILE]


def declared_packages(root: Path) -> list[str]:
    """Only declared dependencies; an optional one only in its own files, and only when it is used."""
    faults = []
    for source in sources(root):
        for line in source.imports:
            homes = OPTIONAL_PACKAGES.get(line.top)
            if line.top in {"edgewise", "", *CORE_PACKAGES} or line.top in sys.stdlib_module_names:
                continue
            if homes is None:
                faults.append(f"{source.name}:{line.line} imports {line.top}, which is not a dependency")
            elif source.name not in homes:
                faults.append(
                    f"{source.name}:{line.line} imports {line.top}; its place is {' or '.join(sorted(homes))}"
                )
            elif not line.in_function and source.name not in OPTIONAL_FILES:
                faults.append(f"{source.name}:{line.line} imports {line.top} before it is needed")
    return faults


def light_import(root: Path) -> list[str]:
    """``import edgewise`` pulls in nothing heavy and sets no environment variable."""
    code = "import os; before = dict(os.environ); import edgewise; assert before == dict(os.environ), 'environment'"
    return _heavy_in(root, "-c", code)


def light_help(root: Path) -> list[str]:
    """``edgewise --help`` and ``edgewise fit --help`` load nothing heavy."""
    return _heavy_in(root, "-m", "edgewise", "--help") + _heavy_in(root, "-m", "edgewise", "fit", "--help")


def few_public_names(root: Path) -> list[str]:
    """At most fifteen names at the top."""
    command = [sys.executable, "-c", "import edgewise; print(*edgewise.__all__)"]
    done = subprocess.run(command, env={"PYTHONPATH": str(root.parent)}, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    return [] if len(names) <= MOST_PUBLIC_NAMES else [f"{len(names)} public names, at most {MOST_PUBLIC_NAMES}"]


RULES: dict[str, Callable[[Path], list[str]]] = {
    rule.__name__: rule
    for rule in (
        one_direction,
        members_through_registry,
        no_import_in_function,
        absolute_imports,
        named_files,
        no_probing,
        short_files,
        declared_packages,
        light_import,
        light_help,
        few_public_names,
    )
}


@cache
def sources(root: Path) -> tuple[Source, ...]:
    """Every Python file under ``root``, parsed."""
    found = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
        name = path.relative_to(root).as_posix()
        found.append(Source(name, tree, text.count("\n"), tuple(_imports(tree, root))))
    return tuple(found)


def _imports(tree: ast.Module, root: Path) -> Iterator[Import]:
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in inside, False)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                # ``from edgewise.adapt import repnet`` imports a file, ``… import RepNet`` a name.
                path = root.parent.joinpath(*base.split("."), alias.name)
                whole = path.is_dir() or path.with_suffix(".py").is_file() or alias.name == "__version__"
                yield Import(
                    f"{base}.{alias.name}" if whole else base, node.lineno, id(node) in inside, alias.name == "*"
                )


def _folder_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _may_import(folder: str, target: str) -> bool:
    if folder in NARROWER:
        return target in NARROWER[folder]
    if target in (folder, "__version__") or (folder, target) in DECLARED_EXCEPTIONS:
        return True
    return target in LEVEL and LEVEL[target] < LEVEL[folder]


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    return ((node, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call))


def _names_foreign(call: ast.Call) -> bool:
    """An optional package named in full, as in ``import_module("timm")``, is `declared_packages`' matter."""
    name = call.args[0] if call.args else None
    return isinstance(name, ast.Constant) and str(name.value).partition(".")[0] in OPTIONAL_PACKAGES


def _heavy_in(root: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-X", "importtime", *arguments]
    environment = {"PYTHONPATH": str(root.parent), "COLUMNS": "80"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    faults = [f"{' '.join(arguments)} loads {name}" for name in sorted(loaded & HEAVY)]
    if done.returncode:
        faults.append(f"{' '.join(arguments)} exits with {done.returncode}: {lines[-1]}")
    return faults
