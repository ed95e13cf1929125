"""Batches are the same to the bit however many processes decode them, and from wherever one starts."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess
from edgewise.data import Sample, open_data
from edgewise.data.images import BadImage, open_image
from edgewise.data.loader import Batch, batches, default_workers, epoch_order
from edgewise.data.transforms import Augment, evaluation_image

SOURCES = Path(__file__).resolve().parents[2] / "src"
PREPROCESS = Preprocess(24)
AUGMENT = Augment(colour="torch")

labels_strategy = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, paint: Any) -> tuple[Sample, ...]:
    root = tmp_path_factory.mktemp("photos")
    return tuple(Sample(paint(root / f"{n:02d}.jpg", 60 + n, 50, n), n % 3) for n in range(23))


def epoch(
    samples: Any, workers: int, start: int = 0, number: int = 0, augment: Any = AUGMENT, seed: int = 0
) -> list[Batch]:
    order = epoch_order(samples, seed, number)
    return list(batches(samples, order, 4, PREPROCESS, augment, seed, number, workers, start))


def same(one: list[Batch], two: list[Batch]) -> bool:
    return len(one) == len(two) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, two, strict=True)
    )


def labelled(labels: list[int]) -> list[Sample]:
    return [Sample(Path(f"{number}.jpg"), label) for number, label in enumerate(labels)]


# The order of an epoch


@given(labels_strategy, st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_an_epoch_shows_every_photo_once(labels: list[int], seed: int, number: int) -> None:
    order = epoch_order(labelled(labels), seed, number)
    assert sorted(order) == list(range(len(labels)))
    assert order == epoch_order(labelled(labels), seed, number)
    assert all(type(index) is int for index in order)


def test_every_epoch_and_seed_has_its_own_order() -> None:
    samples = labelled([0, 1] * 20)
    assert len({epoch_order(samples, seed, number) for seed in range(5) for number in range(5)}) == 25


@given(labels_strategy, st.integers(0, 2**31 - 1))
def test_balanced_classes_come_equally_often(labels: list[int], seed: int) -> None:
    order = epoch_order(labelled(labels), seed, 0, balance=True)
    assert len(order) == len(labels)
    often = Counter(labels[index] for index in order)
    assert often.keys() == set(labels) or len(order) < len(set(labels))
    assert max(often.values()) - min(often.values()) <= 1
    for label in often:  # and so do the photos within a class
        each = Counter(index for index in order if labels[index] == label)
        times = [each[index] for index in range(len(labels)) if labels[index] == label]
        assert max(times) - min(times) <= 1


def test_balanced_photos_of_a_large_class_take_turns() -> None:
    samples = labelled([0] * 90 + [1] * 10)
    shown = {index for number in range(8) for index in epoch_order(samples, 0, number, balance=True)}
    assert len(shown) > 95


def test_no_photos_no_order() -> None:
    assert epoch_order((), 0, 0) == epoch_order((), 0, 0, balance=True) == ()
    assert list(batches((), (), 4, PREPROCESS, None, 0, 0, workers=2)) == []


# Batches


def test_shapes_and_the_last_batch(samples: Any) -> None:
    found = epoch(samples, 0)
    assert [tuple(images.shape) for images, _ in found] == [(4, 3, 24, 24)] * 5 + [(3, 3, 24, 24)]
    assert {(images.dtype, labels.dtype) for images, labels in found} == {(torch.uint8, torch.int64)}
    order = epoch_order(samples, 0, 0)
    assert torch.cat([labels for _, labels in found]).tolist() == [samples[index].label for index in order]


def test_a_last_batch_of_one(samples: Any) -> None:
    found = list(batches(samples[:5], range(5), 4, PREPROCESS, AUGMENT, 0, 0, 0))
    assert [len(labels) for _, labels in found] == [4, 1]


@pytest.mark.parametrize("augment", [AUGMENT, None])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_workers_changes_nothing(samples: Any, workers: int, augment: Any) -> None:
    assert same(epoch(samples, 0, augment=augment), epoch(samples, workers, augment=augment))


@pytest.mark.parametrize("workers", [0, 2])
def test_starting_in_the_middle_changes_nothing(samples: Any, workers: int) -> None:
    whole = epoch(samples, 0)
    for start in range(len(whole) + 2):
        assert same(whole[start:], epoch(samples, workers, start))


def test_epochs_and_seeds_differ(samples: Any) -> None:
    one = epoch(samples, 0)
    assert not same(one, epoch(samples, 0, number=1))
    assert not same(one, epoch(samples, 0, seed=1))


def test_a_photo_that_comes_twice_is_seen_in_two_ways(samples: Any) -> None:
    ((images, _),) = batches(samples, (7, 7, 7), 4, PREPROCESS, AUGMENT, 0, 0, 0)
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_evaluation_shows_the_centre_crops(samples: Any) -> None:
    ((images, labels),) = batches(samples, range(6), 8, PREPROCESS, None, 0, 0, 0)
    for image, label, sample in zip(images, labels, samples, strict=False):
        assert torch.equal(image, evaluation_image(open_image(sample.path, PREPROCESS.resize), PREPROCESS))
        assert label == sample.label


@pytest.mark.parametrize("workers", [0, 2])
def test_other_random_numbers_are_left_alone(samples: Any, workers: int) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    one = epoch(samples, workers)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
    torch.manual_seed(4)
    assert same(one, epoch(samples, workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photo_that_vanished_or_broke_is_named(tmp_path: Path, paint: Any, workers: int) -> None:
    samples = [Sample(paint(tmp_path / f"{n}.jpg"), 0) for n in range(12)]
    content = samples[6].path.read_bytes()
    samples[6].path.write_bytes(content[: len(content) // 2])
    found = batches(samples, range(12), 4, PREPROCESS, AUGMENT, 0, 0, workers)
    assert len(next(found)[1]) == 4
    with pytest.raises(BadImage) as caught:
        next(found)
    assert (caught.value.path, caught.value.reason) == (samples[6].path, "the file is cut off")
    assert str(caught.value) == f"The photo {samples[6].path} cannot be read: the file is cut off."
    assert children() == [], "the error that is still held holds no process"


def test_more_workers_than_processors_is_no_warning(samples: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(epoch(samples, 6)) == 6
    assert [str(warning.message) for warning in caught] == []


# Processes


def children() -> list[Any]:
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    return multiprocessing.active_children()


def test_workers_end_with_the_epoch(samples: Any) -> None:
    epoch(samples, 2)
    assert children() == []


def test_workers_end_when_the_iterator_is_abandoned(samples: Any) -> None:
    for _ in batches(samples, range(23), 2, PREPROCESS, AUGMENT, 0, 0, 2):
        assert len(multiprocessing.active_children()) == 2
        break
    gc.collect()
    assert children() == []


def test_workers_end_when_the_iterator_is_closed(samples: Any) -> None:
    found = batches(samples, range(23), 2, PREPROCESS, AUGMENT, 0, 0, 2)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert children() == []


def test_a_killed_worker(samples: Any) -> None:
    found = batches(samples, range(23), 2, PREPROCESS, AUGMENT, 0, 0, 1)
    next(found)
    with pytest.raises(EdgewiseError) as caught:  # noqa: PT012 (whichever batch comes first)
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        list(found)
    assert str(caught.value).startswith("A process that decodes photos was ended by the system, most often because")
    assert "(DataLoader worker (pid" in str(caught.value)


def test_default_workers() -> None:
    assert 0 <= default_workers() <= 4
    if sys.platform == "linux":
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(before)})
            assert default_workers() == 0
        finally:
            os.sched_setaffinity(0, before)


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
import signal
import sys
from pathlib import Path
from edgewise.core.preprocess import Preprocess
from edgewise.data import open_data
from edgewise.data.loader import batches
from edgewise.data.transforms import Augment

if __name__ == "__main__":
    try:
        images = open_data(Path(sys.argv[1]))
        print("ready", flush=True)
        while True:
            for photos, labels in batches(images.train, range(40), 4, Preprocess(24), Augment(), 0, 0, 2):
                pass
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.1, 0.3])
def test_ctrl_c_is_quiet(tmp_path: Path, fill: Any, delay: float) -> None:
    """As a terminal does it: the signal goes to all workers, some of which have only just started."""
    fill(tmp_path / "photos", {"ant": 30, "bee": 30})
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "photos")],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == "interrupted\n"
    assert errors == ""
    assert gone(process.pid)


@pytest.mark.slow
def test_workers_that_are_started_afresh(tmp_path: Path, fill: Any) -> None:
    """Where processes are not forked (macOS, Windows) everything a worker needs is sent to it."""
    fill(tmp_path / "photos", {"ant": 6, "bee": 6})
    script = tmp_path / "afresh.py"
    script.write_text(
        "import multiprocessing\nimport sys\nfrom pathlib import Path\nimport torch\n"
        "from edgewise.core.preprocess import Preprocess\nfrom edgewise.data import open_data\n"
        "from edgewise.data.loader import batches\nfrom edgewise.data.transforms import Augment\n"
        "from edgewise.data.verify import verify\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    images = verify(open_data(Path(sys.argv[1]), 0), workers=2)\n"
        "    one, two = ([b for b, _ in batches(images.train, range(12), 4, Preprocess(24), Augment(), 0, 0, n)]\n"
        "                for n in (0, 2))\n"
        "    print(all(map(torch.equal, one, two)), len(two))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "photos")],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("True 3\n", "")


def test_open_data_feeds_it(tmp_path: Path, fill: Any) -> None:
    fill(tmp_path, {"ant": 5, "bee": 3})
    images = open_data(tmp_path, 0)
    found = list(batches(images.train, epoch_order(images.train, 0, 0), 3, PREPROCESS, Augment(), 0, 0, 1))
    assert Counter(torch.cat([labels for _, labels in found]).tolist()) == {0: 5, 1: 3}
