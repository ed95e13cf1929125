"""From a run folder to ``report.html``; which page it becomes is the record's ``kind``.

Adding a kind of run: one file with one builder, one line in `PAGES`.
"""

from collections.abc import Callable
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.core.files import write_text
from edgewise.core.runs import RunFolder
from edgewise.report.compare_page import compare_page
from edgewise.report.compress_page import compress_page
from edgewise.report.demo_page import demo_page
from edgewise.report.fit_page import fit_page
from edgewise.report.reprogram_page import reprogram_page
from edgewise.report.section import Section, read_section

PAGES: dict[str, Callable[[Path, Section], str]] = {
    "compare": compare_page,
    "compress": compress_page,
    "demo": demo_page,
    "fit": fit_page,
    "reprogram": reprogram_page,
}


def write_report(run: Path) -> Path:
    """Write ``RUN/report.html`` from ``RUN/record.json`` and ``RUN/assets``; the path of the page.

    The page is one file below 2 MB that asks for nothing else.  Raises `EdgewiseError` when the
    record or a picture it names is missing or malformed; then an earlier page is left as it was.
    """
    record = read_section(run)
    kind = record.text("kind")
    if kind not in PAGES:
        raise EdgewiseError(
            f"{record.file} is of kind {kind!r}, and there is no report for that. Known: {', '.join(sorted(PAGES))}."
        )
    page = RunFolder(run).report
    write_text(page, PAGES[kind](run, record))
    return page
