"""A frozen cellular automaton steered: the matrix by hand, what acts where, and a real training on digits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, InterruptedRun, UsageError
from edgewise.core.surgery import digest
from edgewise.reprogram.automaton import Automaton, Steering
from edgewise.reprogram.steered import STEERINGS, Steered
from edgewise.reprogram.trainers.gradient import Gradient
from edgewise.reprogram.trainers.zeroth_order import SphereSearch
from edgewise.reprogram.transforms.cell_injection import CellInjection, InjectedCells
from edgewise.reprogram.transforms.state_map import StateMap, StateMapProgram, composed

CHANNELS, SIDE = 10, 8


class Growing(nn.Module):
    """A growing automaton: a cell sees itself and its neighbours' slopes; alive is where channel 0 is near."""

    def __init__(self, channels: int = CHANNELS, fires: float = 0.7, spread: float = 0.0) -> None:
        super().__init__()
        one, slope = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([-1.0, 0.0, 1.0])
        wide = torch.tensor([1.0, 2.0, 1.0]) / 8
        looks = torch.stack([torch.outer(one, one), torch.outer(wide, slope), torch.outer(slope, wide)])
        self.looks: Tensor
        self.register_buffer("looks", looks[:, None].repeat(channels, 1, 1, 1))
        self.first, self.last = nn.Conv2d(3 * channels, 24, 1), nn.Conv2d(24, channels, 1, bias=False)
        nn.init.normal_(self.last.weight, std=spread)
        self.channels, self.fires = channels, fires

    def forward(self, states: Tensor) -> Tensor:
        before = F.max_pool2d(states[:, :1], 3, 1, 1) > 0.1
        seen = F.conv2d(states, self.looks, padding=1, groups=self.channels)
        moved = self.last(self.first(seen).relu())
        states = states + moved * (torch.rand(len(states), 1, *states.shape[2:]) < self.fires)
        return states * (before & (F.max_pool2d(states[:, :1], 3, 1, 1) > 0.1))


def automaton(seed: int = 0, **settings: Any) -> Automaton:
    torch.manual_seed(seed)
    start = torch.zeros(CHANNELS, SIDE, SIDE)
    start[:, SIDE // 2, SIDE // 2] = 1
    return Automaton(Growing(**{"spread": 0.1, **settings}), start, 1)


def stirred(program: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in program.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return program


def test_the_matrix_is_symmetric_and_its_strength_scales() -> None:
    program = stirred(StateMap().build(automaton()))
    matrix = program.matrix().detach()
    assert torch.equal(matrix, matrix.T)
    assert len(list(program.parameters())) == 1
    assert program.numbers.numel() == CHANNELS * (CHANNELS + 1) // 2
    values, vectors = program.eigen()
    for strength in (-0.5, 0.0, 0.3, 1.0, 2.0):
        expected = vectors @ torch.diag(1 + strength * (values - 1)) @ vectors.T
        torch.testing.assert_close(program.scaled(strength).matrix().detach(), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(program.scaled(0.0).matrix().detach(), torch.eye(CHANNELS))
    assert torch.equal(program.scaled(1.0).matrix(), program.matrix())


def test_maps_are_composed() -> None:
    one, other = stirred(StateMap().build(automaton())), StateMap().build(automaton())
    with torch.no_grad():
        other.numbers.fill_(0.25)
    both = composed([one, other], [0.5, -2.0]).matrix()
    eye = torch.eye(CHANNELS)
    torch.testing.assert_close(both, eye + 0.5 * (one.matrix() - eye) - 2 * (other.matrix() - eye))
    for programs, strengths in (([one, StateMapProgram(3, 3.0)], [1.0, 1.0]), ([one], [1.0, 2.0])):
        with pytest.raises(UsageError, match="with a strength each"):
            composed(programs, strengths)


def test_a_map_by_hand() -> None:
    """Every cell's numbers are multiplied and clipped, where it acts; a cell of zeros stays so."""
    program = StateMapProgram(2, limit=3.0)
    with torch.no_grad():
        program.numbers.copy_(torch.tensor([1.0, 0.5, -1.0]))  # A = [[2, 0.5], [0.5, 0]]
    states = torch.zeros(1, 2, 1, 3)
    states[0, :, 0, 0], states[0, :, 0, 1] = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])
    cells = torch.tensor([True, False, True]).view(1, 1, 1, 3)
    found = program(lambda states: states, states, cells).detach()
    assert found[0, :, 0].T.tolist() == [[3.0, 0.5], [1.0, 2.0], [0.0, 0.0]]
    assert program(lambda states: 10 * states, states, cells)[0, 0, 0, 0] == 30, "the map, then the rule"
    assert program.cells(states, torch.Generator()).tolist() == [[[[True] * 3]]]


def test_gradients_of_a_map_through_time() -> None:
    class Still(nn.Module):
        def forward(self, states: Tensor) -> Tensor:
            return torch.sin(states) + states.roll(1, 3)

    states = torch.rand(2, 3, 2, 4, dtype=torch.float64)
    program = StateMapProgram(3, 50.0).double()
    cells = program.cells(states, torch.Generator())

    def run(numbers: Tensor) -> Tensor:
        after = states
        for _ in range(3):
            after = torch.func.functional_call(program, {"numbers": numbers}, (Still(), after, cells))
        return after

    assert torch.autograd.gradcheck(run, (0.1 * torch.randn(6, dtype=torch.float64)).requires_grad_())


def test_cells_are_a_share_and_run_the_trained_rule() -> None:
    class Minus(nn.Module):
        def forward(self, states: Tensor) -> Tensor:
            return states - 1

    program = CellInjection(share=0.25).build(automaton())
    cells = program.cells(torch.zeros(200, CHANNELS, SIDE, SIDE), torch.Generator().manual_seed(0))
    assert cells.shape == (200, 1, SIDE, SIDE)
    assert float(cells.double().mean()) == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(cells[0], cells[1])
    program.rule = Minus()
    found = program(lambda states: states + 5, torch.zeros(200, CHANNELS, SIDE, SIDE), cells)
    assert bool((found == torch.where(cells, -1.0, 5.0)).all())


@pytest.mark.parametrize("steering", [StateMap(), CellInjection(0.5), CellInjection(1.0)], ids=repr)
def test_it_begins_by_doing_nothing_and_reaches_only_the_program(steering: Steering) -> None:
    source = automaton(fires=1.0)
    program: Any = steering.build(source)
    assert torch.equal(source.run(6, 3), source.run(6, 3, program=program))
    before = digest(source.rule.module.state_dict())
    states = source.seed.expand(4, *source.seed.shape)
    cells = program.cells(states, torch.Generator().manual_seed(0))
    for _ in range(5):
        states = program(source.rule, states, cells)
    states.square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in program.parameters())
    assert all(p.grad is None for p in source.rule.module.parameters())
    assert digest(source.rule.module.state_dict()) == before
    source.check_untouched()
    steered = source.run(6, 3, program=stirred(program))
    assert not torch.equal(steered, source.run(6, 3))
    assert torch.equal(steered, source.run(6, 3, program=program)), "a run repeats itself"


def test_all_are_here() -> None:
    assert set(STEERINGS) == {"state-map", "cell-injection"}
    assert isinstance(CellInjection().build(automaton()), InjectedCells)


@pytest.fixture(scope="module")
def digits() -> dict[int, Tensor]:
    """A handwritten digit of each kind (1, 8, 8) from 0 to 1."""
    table = pytest.importorskip("sklearn.datasets").load_digits()
    return {
        kind: torch.from_numpy(table.images[np.flatnonzero(table.target == kind)[0], None] / 16).float()
        for kind in range(10)
    }


@pytest.fixture(scope="module")
def grows_an_eight(digits: dict[int, Tensor]) -> Automaton:
    """An automaton trained from scratch, which is what cells with a share of 1 do."""
    untrained = automaton(spread=0.0)
    made = Steered(untrained, CellInjection(1.0), Gradient(1e-2), epochs=6, batch_size=4, steps=(8, 12), pool=16)
    rule = made.fit(digits[8]).program_.rule
    return Automaton(rule, untrained.seed, 1)


@pytest.mark.parametrize(("steering", "at_most"), [(StateMap(), 0.5), (CellInjection(0.3), 0.7)], ids=repr)
def test_it_grows_another_digit(
    steering: Steering, at_most: float, digits: dict[int, Tensor], grows_an_eight: Automaton
) -> None:
    """Nearer to a three than the automaton alone, and held; the automaton still grows its eight afterwards."""
    rule = grows_an_eight.rule.module
    before = digest(rule.state_dict())
    alone = grows_an_eight.seen(grows_an_eight.run(30, 8))

    def away(frames: Tensor, kind: int) -> float:
        return float((frames[[10, 20, 30]] - digits[kind]).square().mean())

    assert away(alone, 8) < 0.02
    model = Steered(grows_an_eight, steering, Gradient(1e-2), epochs=2, batch_size=4, steps=(8, 12), pool=16)
    model.fit(digits[3])
    assert away(model.run(30, 8), 3) < at_most * away(alone, 3)
    assert digest(rule.state_dict()) == before
    assert not any(module.training for module in rule.modules())
    assert torch.equal(grows_an_eight.seen(grows_an_eight.run(30, 8)), alone)
    assert len(model.history_) == 2


def test_without_gradients_too(digits: dict[int, Tensor], grows_an_eight: Automaton) -> None:
    """A map has few numbers: it is steered by an automaton that can only be run."""
    search = SphereSearch(lr=5e-3, directions=8, distance=0.05)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 3, "steps": (8, 8), "pool": 8}
    model = Steered(grows_an_eight, StateMap(), search, **settings).fit(digits[3])
    alone = grows_an_eight.seen(grows_an_eight.run(8, 8))[-1]
    assert float((model.run(8, 8)[-1] - digits[3]).square().mean()) < 0.85 * float((alone - digits[3]).square().mean())


def small(source: Automaton, **changed: Any) -> Steered:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 3, "steps": (2, 3), "pool": 6, **changed}
    return Steered(source, **settings)


@pytest.mark.parametrize("steering", [StateMap(), CellInjection()], ids=repr)
def test_trained_twice_is_the_same_and_so_is_resumed(
    steering: Steering, digits: dict[int, Tensor], tmp_path: Path
) -> None:
    class StopsOnce:
        """A listener that is where Ctrl-C comes: in the middle."""

        def stage(self, text: str) -> None: ...
        def epoch(self, row: Any, epochs: int) -> None: ...
        def note(self, text: str) -> None: ...

        def progress(self, done: int, total: int) -> None:
            if done == 20:
                raise InterruptedRun("stopped")

    whole = small(automaton(), steering=steering).fit(digits[3], tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        small(automaton(), steering=steering).fit(digits[3], tmp_path / "halves", listener=StopsOnce())
    torch.rand(7)  # whatever else draws
    resumed = small(automaton(), steering=steering).fit(digits[3], tmp_path / "halves", resume=True)
    assert digest(whole.program_.state_dict()) == digest(resumed.program_.state_dict())
    with pytest.raises(EdgewiseError, match="its goal changed"):
        small(automaton(), steering=steering).fit(digits[5], tmp_path / "halves", resume=True)


@pytest.mark.parametrize("steering", [StateMap(limit=2.0), CellInjection(0.4)], ids=repr)
def test_saved_and_opened_it_does_the_same(steering: Steering, digits: dict[int, Tensor], tmp_path: Path) -> None:
    model = small(automaton(), steering=steering, epochs=0).fit(digits[3])
    stirred(model.program_)
    model.save(tmp_path)
    again = Steered.load(tmp_path, automaton())
    assert again.steering == steering
    assert torch.equal(again.run(5, 2), model.run(5, 2))
    with pytest.raises(EdgewiseError, match="before another model it means nothing"):
        Steered.load(tmp_path, automaton(seed=1))
    other_seed = automaton()
    moved = Automaton(other_seed.rule.module, other_seed.seed.roll(1, 2), 1)
    with pytest.raises(EdgewiseError, match="before another model it means nothing"):
        Steered.load(tmp_path, moved)
    manifest = json.loads((tmp_path / "artifact.json").read_text())
    (tmp_path / "artifact.json").write_text(json.dumps({**manifest, "steering": {"name": "magic", "fields": {}}}))
    with pytest.raises(EdgewiseError, match="a steering this version does not know"):
        Steered.load(tmp_path, automaton())


def test_mistakes_are_named_before_anything_is_trained(digits: dict[int, Tensor]) -> None:
    class Narrows(nn.Module):
        def forward(self, states: Tensor) -> Tensor:
            return states[:, :, 1:]

    seed = automaton().seed
    for build, complaint in (
        (lambda: small(automaton()).fit(digits[3][:, 1:]), r"shape \(1, 7, 8\); the automaton shows \(1, 8, 8\)"),
        (lambda: small(automaton()).run(3), "call fit first"),
        (lambda: small(automaton(), batch_size=7), "batch_size 7, pool 6"),
        (lambda: small(automaton(), steps=(3, 2)), "rising pair"),
        (lambda: Automaton(Growing(), seed, 11), "11 channels are to be seen"),
        (lambda: Automaton(Growing(), seed[0], 1), r"The seed is of shape \(8, 8\)"),
        (lambda: Automaton(Narrows(), seed, 1), r"makes \(10, 7, 8\) of the seed's \(10, 8, 8\)"),
        (lambda: Automaton(nn.Identity(), seed / 0, 1), "and finite"),
        (lambda: CellInjection(share=0), "share is 0"),
        (lambda: StateMap(limit=0), "limit is 0"),
    ):
        with pytest.raises(UsageError, match=complaint):
            build()


def test_a_source_that_moved_is_noticed(digits: dict[int, Tensor]) -> None:
    source = automaton()
    with torch.no_grad():
        next(source.rule.module.parameters()).add_(1)
    with pytest.raises(EdgewiseError, match="weights have changed"):
        small(source, epochs=0).fit(digits[3])
