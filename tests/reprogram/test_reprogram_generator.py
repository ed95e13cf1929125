"""A frozen generator conditioned on classes: the maps by hand, the critic's loss, and a real training on digits."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, InterruptedRun, UsageError
from edgewise.core.surgery import digest
from edgewise.reprogram.conditioned import Conditioned
from edgewise.reprogram.sources.generator import Generator
from edgewise.reprogram.space import Space
from edgewise.reprogram.trainers.adversarial import Adversarial, critics_loss, right_share
from edgewise.reprogram.trainers.critic import Critic
from edgewise.reprogram.transforms.latent import LatentMap, LatentProgram

IMAGES = Space((1, 8, 8), 0.0, 1.0)
MAPS = [LatentMap(couplings=3, hidden=8), LatentMap("affine")]


class Mixing(nn.Module):
    """Noise to images: a matrix and a bias, and a batch norm that must not move."""

    def __init__(self, weight: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.weight, self.mean = nn.Parameter(weight), nn.Parameter(mean)
        self.norm = nn.BatchNorm1d(weight.shape[1])

    def forward(self, noise: Tensor) -> Tensor:
        images: Tensor = (self.norm(noise) @ self.weight.T + self.mean).clamp(0, 1).view(-1, 1, 8, 8)
        return images


def random_generator(noise: int = 5, seed: int = 0) -> Generator:
    random = torch.Generator().manual_seed(seed)
    weight = 0.2 * torch.randn(64, noise, generator=random)
    return Generator(Mixing(weight, torch.full((64,), 0.5)), noise, IMAGES)


def stirred(program: LatentProgram) -> LatentProgram:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in program.parameters():
            parameter.normal_(std=0.7)
    return program


@pytest.mark.parametrize("noise", [2, 5])
@pytest.mark.parametrize("transform", MAPS, ids=repr)
def test_every_map_has_its_inverse(transform: LatentMap, noise: int) -> None:
    program = stirred(transform.build(noise, 3)).double()
    drawn, classes = torch.randn(20, noise, dtype=torch.float64), torch.arange(20) % 3
    with torch.no_grad():
        moved = program(drawn, classes)
    assert float((moved - drawn).abs().min()) > 0, "nothing rests"
    torch.testing.assert_close(program.inverse(moved, classes).detach(), drawn, rtol=0, atol=1e-9)
    torch.testing.assert_close(program(program.inverse(drawn, classes), classes).detach(), drawn, rtol=0, atol=1e-9)
    slopes = torch.autograd.functional.jacobian(lambda one: program(one[None], classes[:1])[0], drawn[0])
    sign, stretched = torch.linalg.slogdet(slopes)
    assert float(sign) == 1
    torch.testing.assert_close(program.moved(drawn, classes)[1][0].detach(), stretched)


@pytest.mark.parametrize("transform", MAPS, ids=repr)
def test_gradients_of_every_map(transform: LatentMap) -> None:
    program = stirred(transform.build(3, 2)).double()
    noise = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in program.named_parameters()]

    def run(drawn: Tensor, *values: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(
            program, dict(zip(names, values, strict=True)), (drawn, torch.tensor([0, 1]))
        )
        return found

    assert torch.autograd.gradcheck(run, (noise, *program.parameters()))


@pytest.mark.parametrize("transform", MAPS, ids=repr)
def test_it_begins_as_the_generator_that_it_is(transform: LatentMap) -> None:
    drawn = torch.randn(6, 5)
    assert torch.equal(transform.build(5, 3)(drawn, torch.arange(6) % 3), drawn)


def test_the_affine_map_by_hand() -> None:
    program = LatentMap("affine").build(2, 2)
    with torch.no_grad():
        program.last.stretch[1] = torch.tensor([2.0, 0.5]).log()
        program.last.shift[1] = torch.tensor([10.0, 20.0])
    found = program(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.tensor([[3.0, 4.0], [16.0, 22.0]]))


def test_noise_may_stray_as_far_as_a_class_needs_and_no_further() -> None:
    """Against the divergence of two normal distributions in closed form."""
    program = LatentMap("affine", hold=2.0).build(3, 4)
    noise, classes = torch.randn(200_000, 3), torch.zeros(200_000, dtype=torch.long)
    for scale, shift in ((0.3, 1.0), (0.8, 0.2)):
        with torch.no_grad():
            program.last.stretch.fill_(math.log(scale))
            program.last.shift.fill_(shift)
            penalty = float(program.penalty(noise, *program.moved(noise, classes)))
        strays = 3 * ((scale**2 + shift**2 - 1) / 2 - math.log(scale))
        assert penalty == pytest.approx(2 * max(0.0, strays - math.log(4)), abs=0.02)
    assert penalty == 0


def test_the_critics_loss_by_hand() -> None:
    real, made = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0, -1.0])

    def soft(values: list[float]) -> float:
        return float(np.mean(np.log1p(np.exp(values))))

    hit, miss, wrongly = soft([-1.0, 2.0]), soft([0.5, 3.0, -1.0]), soft([1.0, -2.0])
    assert float(critics_loss(real, made, None)) == pytest.approx(hit + miss, rel=1e-6)
    assert float(critics_loss(real, made, 0.25)) == pytest.approx(1.25 * hit + miss - 0.25 * wrongly, rel=1e-6)
    sure = torch.tensor([-9.0])
    assert float(critics_loss(real, sure, 1.0)) == pytest.approx(2 * hit, rel=1e-6), "never below 0"


def test_made_samples_that_are_right_cost_the_critic_nothing() -> None:
    """A share p of what is made is right: what the loss says of the rest is what it would say if it were alone."""
    right, wrong = torch.linspace(-1, 2, 30), torch.linspace(0, 4, 70)
    mixed = critics_loss(right, torch.cat([right, wrong]), 0.3)
    alone = 1.3 * critics_loss(right, wrong, None) - 0.6 * nn.functional.softplus(wrong).mean()
    torch.testing.assert_close(mixed, alone)
    assert right_share(10, 0.0) == pytest.approx(0.1)
    assert right_share(10, 1.0) == 1


def test_a_step_moves_both_and_a_broken_one_nothing() -> None:
    torch.manual_seed(0)
    generator, program = random_generator(), LatentMap().build(5, 2)
    duel = Adversarial(width=4).build(list(program.named_parameters()), IMAGES, 2)
    real, classes = torch.rand(6, 1, 8, 8), torch.arange(6) % 2

    def made() -> tuple[Tensor, Tensor]:
        return generator(program(torch.randn(6, 5), classes)), torch.zeros(())

    before = digest(program.state_dict()), digest(duel.critic.state_dict())
    duel.step(real, classes, made, 0.0, 1)
    after = digest(program.state_dict()), digest(duel.critic.state_dict())
    assert before[0] != after[0]
    assert before[1] != after[1]
    for module in (program, duel.critic, generator.frozen.module):
        assert all(p.grad is None for p in module.parameters())
    loss, fooled = duel.step(real * float("nan"), classes, made, 0.0, 2)
    assert (np.isfinite(loss), fooled) == (False, 0)
    assert (digest(program.state_dict()), digest(duel.critic.state_dict())) == after
    assert 0 < duel.rate(0.9) < duel.rate(0.0)


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Handwritten digits 0 to 3 (N, 1, 8, 8) from 0 to 1, and their names."""
    table = pytest.importorskip("sklearn.datasets").load_digits(n_class=4)
    rows = np.random.default_rng(0).permutation(len(table.target))
    names = np.array(["zero", "one", "two", "three"])
    return (table.images[rows, None] / 16).astype(np.float32), names[table.target[rows]]


@pytest.fixture(scope="module")
def draws_digits(digits: tuple[NDArray[Any], NDArray[Any]]) -> Generator:
    """A generator that was fitted to digits without their names: the likeliest linear one (probabilistic PCA)."""
    pixels = torch.from_numpy(digits[0][:400]).flatten(1)
    _, sizes, axes = torch.linalg.svd(pixels - pixels.mean(0), full_matrices=False)
    return Generator(Mixing((sizes[:10, None] * axes[:10]).T / 20, pixels.mean(0)), 10, IMAGES)


@pytest.mark.parametrize("form", ["flow", "affine"])
def test_it_makes_the_digit_that_is_asked_for(
    form: Any, digits: tuple[NDArray[Any], NDArray[Any]], draws_digits: Generator
) -> None:
    """From 80 named digits; a classifier that was shown other digits reads what is made.  The source is untouched."""
    linear = pytest.importorskip("sklearn.linear_model")
    images, names = digits
    judge = linear.LogisticRegression(max_iter=300).fit(images[400:].reshape(-1, 64), names[400:])
    before = digest(draws_digits.frozen.module.state_dict())
    model = Conditioned(
        draws_digits, LatentMap(form), Adversarial(lr=1e-2, critic_lr=3e-3, width=8), epochs=5, batch_size=20
    )
    model.fit(images[:80], names[:80])

    def read_as_asked(of: Conditioned) -> float:
        made = {name: of.sample(name, 100, seed=3).reshape(-1, 64) for name in of.classes_}
        return float(np.mean([np.mean(judge.predict(some) == name) for name, some in made.items()]))

    alone = Conditioned(draws_digits, LatentMap(form), epochs=0).fit(images[:80], names[:80])
    assert read_as_asked(alone) == pytest.approx(0.25, abs=1e-9), "a generator alone does not listen"
    assert read_as_asked(model) > 0.6
    assert digest(draws_digits.frozen.module.state_dict()) == before
    assert not any(module.training for module in draws_digits.frozen.module.modules())
    assert all(p.grad is None for p in draws_digits.frozen.module.parameters())
    one, other = model.sample("one", 4, seed=1), model.sample("one", 4, seed=2)
    assert one.shape == (4, 1, 8, 8)
    assert np.array_equal(one, model.sample("one", 4, seed=1))
    assert not np.array_equal(one, other)
    assert len(model.history_) == 5


def small(generator: Generator, **changed: Any) -> Conditioned:
    settings: dict[str, Any] = {"trainer": Adversarial(width=4), "epochs": 1, "batch_size": 5, **changed}
    return Conditioned(generator, **settings)


def test_trained_twice_is_the_same_and_so_is_resumed(digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path) -> None:
    images, names = digits[0][:18], digits[1][:18]

    class StopsOnce:
        """A listener that is where Ctrl-C comes: in the middle."""

        def stage(self, text: str) -> None: ...
        def epoch(self, row: Any, epochs: int) -> None: ...
        def note(self, text: str) -> None: ...

        def progress(self, done: int, total: int) -> None:
            if done == 20:
                raise InterruptedRun("stopped")

    steps = Adversarial(width=4, critic_steps=2)
    whole = small(random_generator(), trainer=steps).fit(images, names, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        small(random_generator(), trainer=steps).fit(images, names, tmp_path / "halves", listener=StopsOnce())
    torch.rand(7)  # whatever else draws
    resumed = small(random_generator(), trainer=steps).fit(images, names, tmp_path / "halves", resume=True)
    assert digest(whole.program_.state_dict()) == digest(resumed.program_.state_dict())
    with pytest.raises(EdgewiseError, match="its trainer changed"):
        small(random_generator()).fit(images, names, tmp_path / "halves", resume=True)


@pytest.mark.parametrize("transform", MAPS, ids=repr)
def test_saved_and_opened_it_makes_the_same(
    transform: LatentMap, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    model = small(random_generator(), transform=transform, epochs=0).fit(digits[0][:20], digits[1][:20])
    stirred(model.program_)
    model.save(tmp_path)
    again = Conditioned.load(tmp_path, random_generator())
    assert again.transform == transform
    for name in model.classes_:
        assert np.array_equal(again.sample(name, 3), model.sample(name, 3))
    with pytest.raises(EdgewiseError, match="before another model it means nothing"):
        Conditioned.load(tmp_path, random_generator(seed=1))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda f: (f / "program.safetensors").write_bytes(b"short"), "was cut off or changed"),
        (lambda f: _edit(f, "transform", {"name": "latent", "fields": {"fourm": 1}}), "a transform this version"),
        (lambda f: _edit(f, "transform", {"name": "pad", "fields": {}}), "a transform this version"),
        (lambda f: _edit(f, "transform", {"name": "latent", "fields": {"form": "affine"}}), "not those of its program"),
        (lambda f: _edit(f, "kind", "adapter"), "incomplete"),
        (lambda f: _edit(f, "kind", "else"), "'else', and 'conditioner' is needed"),
    ],
)
def test_damage_is_named(
    damage: Any, complaint: str, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    small(random_generator(), epochs=0).fit(digits[0][:20], digits[1][:20]).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(EdgewiseError, match=complaint):
        Conditioned.load(tmp_path, random_generator())


def _edit(folder: Path, key: str, value: Any) -> None:
    manifest = json.loads((folder / "artifact.json").read_text())
    (folder / "artifact.json").write_text(json.dumps({**manifest, key: value}))


def test_mistakes_are_named_before_anything_is_trained(digits: tuple[NDArray[Any], NDArray[Any]]) -> None:
    images, names = digits
    generator = random_generator()
    fitted = small(generator, epochs=0).fit(images[:20], names[:20])
    for build, complaint in (
        (lambda: small(generator).fit(images[:0], names[:0]), "no labelled samples"),
        (lambda: small(generator).fit(images[:5], names), "5 samples have"),
        (lambda: small(generator).fit(2 * images[:5], names[:5]), "from 0 to 2; the model reads 0 to 1"),
        (lambda: small(generator).fit(images[:5, :, 1:], names[:5]), r"of shape \(1, 7, 8\)"),
        (lambda: small(generator, epochs=-1), "epochs is -1"),
        (lambda: small(generator).sample("one", 3), "call fit first"),
        (lambda: fitted.sample("nine", 3), "no class 'nine'; it learned one, three, two, zero"),
        (lambda: LatentMap().build(1, 3), "1 number: take"),
        (lambda: LatentMap(couplings=1), "couplings is 1"),
        (lambda: Adversarial(lr=-1), "lr is -1"),
        (lambda: Critic(Space((9,)), 2, 4), "the critic reads images"),
        (lambda: Generator(nn.Linear(3, 64), 3, IMAGES), r"is of shape \(64,\)"),
        (lambda: generator(torch.zeros(2, 4)), "reads 5 numbers"),
    ):
        with pytest.raises(UsageError, match=complaint):
            build()


def test_a_source_that_moved_is_noticed(digits: tuple[NDArray[Any], NDArray[Any]]) -> None:
    generator = random_generator()
    generator.frozen.module.train()
    with pytest.raises(EdgewiseError, match="in training mode"):
        small(generator, epochs=0).fit(digits[0][:8], digits[1][:8])
    generator.frozen.module.eval()
    with torch.no_grad():
        next(generator.frozen.module.parameters()).add_(1)
    with pytest.raises(EdgewiseError, match="weights have changed"):
        small(generator, epochs=0).fit(digits[0][:8], digits[1][:8])
