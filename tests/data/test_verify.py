"""Every photo is looked at once; the bad ones are named."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.data import ImageSet, open_data
from edgewise.data.sets import Sample
from edgewise.data.verify import verify

SOURCES = Path(__file__).resolve().parents[2] / "src"


class Counting:
    """A listener that remembers the progress."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def stage(self, text: str) -> None: ...

    def progress(self, done: int, total: int) -> None:
        self.seen.append((done, total))

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None: ...

    def note(self, text: str) -> None: ...


@pytest.fixture
def jpegs(tmp_path: Path, paint: Any) -> Path:
    """30 ants and 30 bees; val is cut from them."""
    for label in ("ant", "bee"):
        for number in range(30):
            paint(tmp_path / label / f"{number:02d}.jpg", 96, 80, number)
    return tmp_path


def cut_off(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("workers", [0, 2, None])
def test_good_photos(jpegs: Path, workers: int | None) -> None:
    images, listener = open_data(jpegs), Counting()
    assert verify(images, workers=workers, listener=listener) is images
    assert listener.seen == [(number, 60) for number in range(1, 61)]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_photos_are_left_out(jpegs: Path, workers: int) -> None:
    cut_off(jpegs / "ant" / "03.jpg")
    (jpegs / "bee" / "17.jpg").write_bytes(b"")
    images = open_data(jpegs)
    kept = verify(images, max_bad=0.05, workers=workers)
    assert sorted(kept.skipped) == [
        (Path("ant/03.jpg"), "the file is cut off"),
        (Path("bee/17.jpg"), "the file is empty"),
    ]
    names = {name for samples in kept.parts().values() for name in (images.name_of(s.path) for s in samples)}
    assert len(names) == 58
    assert not names & {"ant/03.jpg", "bee/17.jpg"}
    assert (kept.classes, kept.root) == (images.classes, images.root)


def test_earlier_skips_stay(jpegs: Path, paint: Any) -> None:
    paint(jpegs / "stray.png")
    cut_off(jpegs / "ant" / "03.jpg")
    assert [path.as_posix() for path, _ in verify(open_data(jpegs), 0.1, 0).skipped] == ["stray.png", "ant/03.jpg"]


def test_too_many_bad_photos(jpegs: Path) -> None:
    for number in range(12):
        cut_off(jpegs / "ant" / f"{number:02d}.jpg")
    with pytest.raises(EdgewiseError) as caught:
        verify(open_data(jpegs, 0), workers=0)
    assert str(caught.value) == (
        "12 of 60 photos cannot be read (20.0 %), and --max-bad puts up with 1 %:"
        + "".join(f"\n    ant/{number:02d}.jpg: the file is cut off" for number in range(10))
        + "\n    and 2 more\nRepair or remove them, or go on without them: --max-bad 20%"
    )


@pytest.mark.parametrize(("max_bad", "passes"), [(0.0, False), (0.05, True), (0.049, False), (1.0, True)])
def test_the_limit_itself_is_allowed(jpegs: Path, max_bad: float, passes: bool) -> None:
    for number in range(3):  # of 60
        cut_off(jpegs / "ant" / f"{number:02d}.jpg")
    if passes:
        assert len(verify(open_data(jpegs), max_bad, 0).skipped) == 3
    else:
        with pytest.raises(EdgewiseError, match=r"3 of 60 photos cannot be read \(5\.0 %\)"):
            verify(open_data(jpegs), max_bad, 0)


def test_the_advice_is_enough(jpegs: Path) -> None:
    cut_off(jpegs / "ant" / "00.jpg")  # 1 of 60 is 1.67 %
    with pytest.raises(EdgewiseError, match=r"--max-bad 2%$"):
        verify(open_data(jpegs), workers=0)
    assert len(verify(open_data(jpegs), 0.02, 0).skipped) == 1


def test_a_class_that_loses_all_its_photos(jpegs: Path) -> None:
    for number in range(30):
        cut_off(jpegs / "bee" / f"{number:02d}.jpg")
    with pytest.raises(EdgewiseError) as caught:
        verify(open_data(jpegs, 0), 1.0, 0)
    text = str(caught.value)
    assert text.startswith("No training photo of bee can be read:\n    bee/00.jpg: the file is cut off\n")
    assert text.endswith("\n    and 20 more\nReplace them, or remove the class.")


def test_photos_to_evaluate_on_need_no_training_part(jpegs: Path) -> None:
    samples = tuple(Sample(path, 0) for path in sorted((jpegs / "ant").iterdir()))
    cut_off(samples[0].path)
    kept = verify(ImageSet(jpegs, ("ant", "bee"), (), (), samples), 0.5, 0)
    assert kept.test == samples[1:]
    for sample in samples:
        sample.path.write_bytes(b"")
    with pytest.raises(EdgewiseError, match=r"^None of the photos can be read:\n    ant/00.jpg: the file is empty\n"):
        verify(ImageSet(jpegs, ("ant", "bee"), (), (), samples), 1.0, 0)


def test_a_killed_worker(jpegs: Path) -> None:
    """As the system does it when memory runs out, while there is still much to look at."""

    class Killing(Counting):
        def progress(self, done: int, total: int) -> None:
            for child in multiprocessing.active_children() if done == 1 else []:
                os.kill(child.pid or 0, signal.SIGKILL)

    samples = (Sample(jpegs / "ant" / "00.jpg", 0),) * 5000
    with pytest.raises(EdgewiseError) as caught:
        verify(ImageSet(jpegs, ("ant", "bee"), (), (), samples), workers=2, listener=Killing())
    assert str(caught.value).startswith("A process that decodes photos was ended by the system, most often because")
    assert str(caught.value).endswith("Repeat with --workers 0, which decodes without further processes.")


def gone(group: int) -> bool:
    """Whether no process of the group is left, after a moment to be cleared away."""
    for _ in range(500):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


SCRIPT = """
import sys
from pathlib import Path
from edgewise.core.progress import Silent
from edgewise.data import open_data
from edgewise.data.verify import verify

class Loud(Silent):
    def progress(self, done, total):
        print(done, flush=True)

if __name__ == "__main__":
    try:
        while True:
            verify(open_data(Path(sys.argv[1])), workers=2, listener=Loud())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_is_quiet(jpegs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a terminal does it: the signal goes to the workers as well."""
    script = tmp_path_factory.mktemp("script") / "look.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(jpegs)],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output.endswith("interrupted\n")
    assert errors == ""
    assert gone(process.pid)
