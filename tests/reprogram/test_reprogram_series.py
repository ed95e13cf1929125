"""Series before a network that hears: the program by a loop, and what the recipes of series stand on."""

import importlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewise.reprogram import Gradient, RandomLabels, Replicate, Reprogrammed, Space, WhiteBox
from edgewise.reprogram.transforms.replicate import ReplicateProgram

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """A recipe, or what recipes share, by name: they are scripts, not a package."""
    pytest.importorskip("sklearn")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        patch.syspath_prepend(RECIPES / "reprogram")
        yield importlib.import_module


@pytest.mark.parametrize(
    ("copies", "length", "starts"),
    [
        (0, 12, [0]),
        (0, 100, [0]),
        (1, 12, [0]),
        (3, 12, [0, 24, 48]),
        (5, 12, [0, 12, 24, 36, 48]),
        (8, 12, list(range(0, 96, 12))),
        (33, 3, list(range(0, 99, 3))),
    ],
)
def test_copies_stand_where_the_paper_puts_them(copies: int, length: int, starts: list[int]) -> None:
    """Room for floor(T / L), copies at multiples of floor(room / m) * L, and the signal upon all of it."""
    program = Replicate(copies, noise=0.5, seed=3).build(Space((length,)), Space((100,)))
    assert isinstance(program, ReplicateProgram)
    series = torch.randn(2, length)
    expected = program.weight.detach().expand(2, -1).clone()
    for start in starts:
        expected[:, start : start + length] += series
    torch.testing.assert_close(program.eval()(series), expected)


def test_the_signal_starts_as_noise_of_so_much() -> None:
    first, again, other, silent = (
        Replicate(noise=noise, seed=seed).build(Space((10,)), Space((1000,))).eval()(torch.zeros(1, 10)).detach()  # type: ignore[attr-defined]
        for noise, seed in ((0.02, 1), (0.02, 1), (0.02, 2), (0.0, 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(silent.abs().max()) == 0
    assert 0.019 < float(first.abs().max()) <= 0.02
    assert abs(float(first.mean())) < 0.002


def test_silence_has_no_slope_and_noise_has(load: Load) -> None:
    """Why the signal does not start at 0: most of a second with one short copy would never learn."""
    network = load("speech").untrained(10, 0).eval()
    slopes = []
    for noise in (0.0, 0.02):
        program = Replicate(1, noise=noise).build(Space((24,)), Space((8000,)))
        assert isinstance(program, ReplicateProgram)
        network(program.eval()(torch.randn(2, 24) / 10))[:, 0].sum().backward()
        assert program.weight.grad is not None
        slopes.append(float((program.weight.grad[1000:].abs() > 0).float().mean()))
    assert slopes[0] == 0
    assert slopes[1] > 0.8  # all but the rest behind the last window


def test_the_network_is_differentiable_by_what_it_hears(load: Load) -> None:
    network = load("speech").untrained(4, 0).double().eval()
    direction = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1)).double()
    heard = (0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)).double()).requires_grad_()
    network(heard)[0, 1].backward()
    assert heard.grad is not None
    slope = float((heard.grad * direction).sum())
    with torch.no_grad():
        apart = [float(network(heard + by * direction)[0, 1]) for by in (1e-7, -1e-7)]
    assert slope == pytest.approx((apart[0] - apart[1]) / 2e-7, rel=1e-3)


def test_mel_bands_cover_what_can_be_heard(load: Load) -> None:
    """Each is an average, and the peaks of those that are wide enough to see rise to 4 kHz."""
    bands = load("speech").mel_bands()
    assert bands.shape == (40, 129)
    torch.testing.assert_close(bands.sum(1), torch.ones(40))
    peaks = bands.argmax(1)
    assert bool((peaks.diff() >= 0).all())
    assert int(peaks[0]) <= 2
    assert int(peaks[-1]) >= 120


def test_a_network_is_taught_once(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tones, high and low: taught, kept, and read again to the same bits without teaching."""
    speech = load("speech")
    monkeypatch.setattr(speech, "EPOCHS", 12)
    random, times = np.random.default_rng(0), np.arange(8000) / 8000
    y = np.arange(32) % 2
    pitch = np.where(y, 900, 300) * random.uniform(0.9, 1.1, 32)
    x = (0.1 * np.sin(2 * np.pi * pitch[:, None] * times)).astype(np.float32)
    network = speech.kept(tmp_path / "a.safetensors", x, y, 2, seed=0)
    with torch.no_grad():
        assert bool((network(torch.from_numpy(x)).argmax(1).numpy() == y).all())
    monkeypatch.setattr(speech, "taught", None)
    again = speech.kept(tmp_path / "a.safetensors", x, y, 2, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    source = speech.as_source(network)
    assert isinstance(source, WhiteBox)
    assert speech.of_features(network).answers == "features"
    up = np.linspace(-1, 1, 50, dtype=np.float32)
    rows = np.stack([up if one else -up for one in y]) + random.normal(0, 0.1, (32, 50)).astype(np.float32)
    found = Reprogrammed(source, Replicate(100, 0.0), RandomLabels(), Gradient(0.01), epochs=8, batch_size=16)
    assert found.fit(rows[:24] / 10, y[:24]).score(rows[24:] / 10, y[24:]) >= 0.75
    source.check_untouched()


def slowly_warped(one: NDArray[Any], other: NDArray[Any], reach: int) -> float:
    far = np.full((len(one) + 1, len(other) + 1), np.inf)
    far[0, 0] = 0
    for i, j in itertools.product(range(len(one)), range(len(other))):
        if abs(i - j) <= reach:
            far[i + 1, j + 1] = (one[i] - other[j]) ** 2 + min(far[i, j + 1], far[i + 1, j], far[i, j])
    return float(far[-1, -1])


def test_time_warping_by_its_definition(load: Load) -> None:
    plain = load("plain")
    random = np.random.default_rng(0)
    a, b = random.standard_normal((3, 20)).astype(np.float32), random.standard_normal((4, 20)).astype(np.float32)
    for band, reach in ((0.1, 2), (0.3, 6), (1.0, 20)):
        expected = [[slowly_warped(one, other, reach) for other in b] for one in a]
        np.testing.assert_allclose(plain.warped(a, b, band), expected, rtol=1e-5)
    assert (plain.warped(a, b, 0.3) <= plain.squares(a, b) + 1e-5).all()
    labels = np.array([5, 6, 7, 8])
    assert plain.nearest(plain.squares(b, b), labels).tolist() == labels.tolist()


def test_the_band_is_chosen_without_a_series_itself(load: Load) -> None:
    """Bumps that are shifted: only a wide band sees that they are alike, and none is its own neighbour."""
    plain = load("plain")
    places = np.arange(100)
    bumps = [np.exp(-((places - at) ** 2)) for at in (40, 49, 58, 67)]
    x = np.stack([*bumps, *(-bump for bump in bumps)] + [0.2 * bump for bump in bumps]).astype(np.float32)
    y = np.repeat([0, 1, 2], 4)
    assert plain.best_band(x, y) == 0.1


def test_plain_classifiers_learn(load: Load) -> None:
    plain = load("plain")
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = (random.normal(0, 0.3, (60, 40)) + np.where(y, 1, -1)[:, None] * np.sin(np.arange(40) / 3)).astype(np.float32)
    for said in (
        plain.linear(x[:40], y[:40], x[40:], 0),
        plain.from_scratch(x[:40], y[:40], x[40:], 2, 3e-3, 15, 0),
    ):
        assert (said.argmax(1) == y[40:]).mean() >= 0.9
        np.testing.assert_allclose(said.sum(1), 1, rtol=1e-5)


def scores(shared: Path, state: Path, seed: int, part: str, good: int) -> dict[str, float]:
    """A made-up work: the third setting is best on validation, the second on the test part."""
    table = {"val": [0.5, 0.6, 0.7, 0.7], "test": [0.1, 0.9, 0.2, 0.3]}
    return {"accuracy": table[part][good] + 0.01 * seed, "loss": 0.5 if good == 2 else 0.6, "seconds": 1.0}


def test_settings_are_chosen_on_validation_parts_alone(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = load("choice")
    asked: list[tuple[str, Any]] = []

    def collected(runs: list[Any], arguments: Any) -> list[dict[str, Any]]:
        asked.extend((run.settings["part"], run.settings["good"]) for run in runs)
        return [{"task": r.task, "arm": r.arm, **r.work(None, None, r.seed, **r.settings)} for r in runs]

    monkeypatch.setattr(choice, "collected", collected)
    arms = [
        choice.Arm("a", "many", scores, choice.grid(good=[0, 1, 2, 3])),
        choice.Arm("a", "one", scores, [{"good": 1}]),
    ]
    arguments = importlib.import_module("argparse").Namespace(seeds=2)
    found = choice.tested(arms, arguments)
    assert [one["accuracy"] for one in found] == pytest.approx([0.2, 0.21, 0.9, 0.91])
    assert [one["chosen"] for one in found] == [{"good": 2}] * 2 + [{"good": 1}] * 2
    assert asked[:8] == [("val", good) for good in range(4) for _ in range(2)]
    assert asked[8:] == [("test", 2), ("test", 2), ("test", 1), ("test", 1)]
    assert choice.choices(found) == [{"task": "a", "arm": "many", "good": 2}, {"task": "a", "arm": "one", "good": 1}]


def test_parts_and_numbers(load: Load) -> None:
    choice, sets = load("choice"), load("sets")
    cut = sets.Cut(*(sets.Part(np.full((n, 2), n), np.full(n, n)) for n in (3, 2, 4)))
    known, unseen = choice.parts(cut, "val")
    assert (len(known), len(unseen)) == (3, 2)
    known, unseen = choice.parts(cut, "test")
    assert (known.y.tolist(), len(unseen)) == ([3, 3, 3, 2, 2], 4)
    found = choice.numbers(np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]), np.array([0, 1, 0]))
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["loss"] == pytest.approx(-np.log([0.9, 0.5, 0.2]).mean())
    assert choice.grid(a=[1, 2], b=["x"]) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_run_has_one_name_in_every_process(load: Load) -> None:
    """A script is another module in a process of its own; what has run must be found again all the same."""
    run = load("runs").over_seeds(scores, "a", "b", 1, part="val", good=1)[0]
    key = run.key
    scores.__module__, before = "__mp_main__", scores.__module__
    try:
        assert run.key == key
    finally:
        scores.__module__ = before


@pytest.mark.parametrize("name", ["series", "speakers", "cross_modal"])
def test_every_arm_is_named_once_and_quick_is_less(load: Load, name: str) -> None:
    recipe = load(name)
    whole, quick = recipe.arms(False), recipe.arms(True)
    assert len({(arm.task, arm.name) for arm in whole}) == len(whole)
    assert sum(len(arm.grid) for arm in quick) < sum(len(arm.grid) for arm in whole)
    assert {"part", "seed"} <= set.intersection(*(set(arm.work.__code__.co_varnames) for arm in whole))
    made = [
        {
            "task": arm.task,
            "arm": arm.name,
            "accuracy_mean": 0.5 + 0.1 * (arm.name in ("program and tuning", "program")),
        }
        for arm in whole
    ]
    claims = recipe.compared(made)
    assert claims
    assert all({"claim", "holds", "held_in", "places"} <= set(one) for one in claims)
    better = [one for one in claims if "better than" in one["claim"] or "> commonest" in one["claim"]]
    assert all(one["holds"] is (name == "cross_modal") for one in better)


def test_words_and_letters_become_symbols(load: Load) -> None:
    cross_modal = load("cross_modal")
    known = ["what is it", "what was it", "what a day"]
    ids, count = cross_modal.symbols("questions", known, [*known, "It is WHAT"], 4)
    assert count == 4  # nothing, unknown, it, what
    assert ids.tolist() == [[3, 1, 2, 0], [3, 1, 2, 0], [3, 1, 1, 0], [2, 1, 3, 0]]
    letters, count = cross_modal.symbols("peptides", ["AAK", "KKC"], ["AKC", "CCCAAA"], 4)
    assert (letters.tolist(), count) == ([[2, 3, 1, 0], [1, 1, 1, 2]], 4)
    counts = cross_modal.counts_of_words(known, ["what what it day"])
    assert counts[0].tolist() == [1, 1, 2]  # unknown, it, what
    shares = cross_modal.counts_of_letters(known, ["AAC"])
    assert shares.shape == (1, 20 + 400 + 1)
    assert shares[0, :2].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert float(shares[0, -1]) == pytest.approx(np.log(3))


def test_real_recordings_and_sets(load: Load, shared: Path) -> None:
    """The parts do not overlap, unseen speakers are unseen, and all is as loud as it should be."""
    speech, cross_modal = load("speech"), load("cross_modal")
    heard = speech.spoken(shared.parent)
    assert heard.x.shape == (1500, 8000)
    assert int(heard.test.sum()) == 300
    lasting = np.abs(heard.x) > 0
    loud = np.sqrt((heard.x**2).sum(1) / lasting.sum(1))
    assert 0.09 < np.median(loud) < 0.12
    cut, _, labels = cross_modal.task(shared.parent, "peptides", 0)
    rows = [set(one.x.tolist()) for one in (cut.train, cut.val, cut.test)]
    assert not rows[0] & rows[1]
    assert not (rows[0] | rows[1]) & rows[2]
    assert len(rows[0]) + len(rows[1]) == 2000
    assert (labels[cut.test.x] == cut.test.y).all()
