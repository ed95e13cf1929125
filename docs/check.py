"""Check the documentation: ``python docs/check.py [ROOT]`` prints what is wrong and exits with 1.

Every relative link and picture in README.md, CHANGELOG.md and docs/ leads to a file of the
repository, and to a heading in it where one is named.  Every ``edgewise VERB`` and every file
under examples/ and recipes/ that the pages name exists.  Nothing is fetched.
"""

import re
import sys
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
NAMED_FILE = re.compile(r"\b(?:examples|recipes)/[\w./-]+\.\w+")
COMMAND = re.compile(r"(?:^[\s$]*|`)edgewise ([a-z]+)", re.MULTILINE)
VERB = re.compile(r'^    "(\w+)": "edgewise', re.MULTILINE)
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)


def faults(root: Path) -> list[str]:
    """Everything wrong in the pages of the repository at ``root``."""
    pages = [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]
    table = root / "src/edgewise/cli/jobs.py"
    verbs = set(VERB.findall(table.read_text(encoding="utf-8"))) if table.exists() else set()
    return [fault for page in pages if page.exists() for fault in page_faults(page, root, verbs)]


def page_faults(page: Path, root: Path, verbs: set[str]) -> list[str]:
    """Everything wrong in one page."""
    text = page.read_text(encoding="utf-8")
    prose = INLINE_CODE.sub("", FENCE.sub("", text))
    name = page.relative_to(root).as_posix()
    found = []
    for match in LINK.finditer(prose):
        target = match[1] or match[2]
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists():
            found.append(f"{name}: the link {target} leads nowhere")
        elif root.resolve() not in (goal, *goal.parents) and goal != page:
            found.append(f"{name}: the link {target} leaves the repository")
        elif anchor and goal.suffix == ".md" and anchor not in anchors(goal.read_text(encoding="utf-8")):
            found.append(f"{name}: there is no heading #{anchor} in {goal.name}")
    found += [f"{name}: there is no {file}" for file in NAMED_FILE.findall(text) if not (root / file).exists()]
    found += [f"{name}: there is no verb edgewise {verb}" for verb in COMMAND.findall(text) if verb not in verbs]
    return found


def anchors(text: str) -> set[str]:
    """The names under which a page's headings can be linked to."""
    plain = FENCE.sub("", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(plain)}


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    print("\n".join(wrong) if wrong else "The documentation's links, files and commands are all there.")
    sys.exit(bool(wrong))
