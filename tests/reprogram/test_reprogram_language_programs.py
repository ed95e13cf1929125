"""Programs of symbols: prompt tokens, sparse vocabularies, context remaps; each by hand, and the sparse codes' twin."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.reprogram.base import Anneals, Draws, InputTransform
from edgewise.reprogram.space import Space
from edgewise.reprogram.table import drawn_like, vectors_of
from edgewise.reprogram.transforms.context_remap import (
    ContextRemap,
    ContextScores,
    DrawnRemapProgram,
    RelaxedRemapProgram,
)
from edgewise.reprogram.transforms.prompt_tokens import PromptTokens, PromptTokensProgram
from edgewise.reprogram.transforms.sparse_coding import sparse_codes
from edgewise.reprogram.transforms.vocabulary import VocabularyMap, VocabularyProgram

V, D = 40, 8
TABLE = torch.randn(V, D, generator=torch.Generator().manual_seed(5)) * 0.1 + 0.03
VECTORS, SYMBOLS = Space((12, D), table=TABLE), Space((12,), symbols=V)
LETTERS, OWN = Space((6,), symbols=5), Space((4,), symbols=V)
SAMPLES = torch.tensor([[1, 4, 2, 0, 0, 0], [3, 3, 1, 2, 4, 1]])


def atoms(count: int, size: int, seed: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


# ---- sparse codes


@given(st.integers(0, 2**20), st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_sparse_codes_are_scikit_learn_s(seed: int, nonzeros: int) -> None:
    """Its atoms must be of length 1; ours need not be: the same code, its weights divided by the lengths."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    table, targets = atoms(30, 12, seed).double(), atoms(4, 12, seed + 1).double()
    places, weights = sparse_codes(targets, table, nonzeros)
    units = F.normalize(table, dim=1)
    twin = linear_model.orthogonal_mp(units.t().numpy(), targets.t().numpy(), n_nonzero_coefs=nonzeros)
    dense = torch.zeros(4, 30, dtype=torch.double).scatter_(1, places, weights)
    torch.testing.assert_close(dense * table.norm(dim=1), torch.from_numpy(twin.reshape(30, 4)).t())


def test_sparse_codes_find_what_was_hidden() -> None:
    table = atoms(200, 64, 0)
    hidden = torch.tensor([[3, 77, 150], [9, 10, 199]])
    targets = torch.einsum("k,mkd->md", torch.tensor([2.0, -1.0, 0.5]), table[hidden])
    places, weights = sparse_codes(targets, table, 3)
    assert places.sort(1).values.tolist() == hidden.tolist()
    torch.testing.assert_close(torch.einsum("mk,mkd->md", weights, table[places]), targets)


def test_a_row_of_the_table_is_its_own_code_and_its_likes_are_the_rest() -> None:
    table = torch.cat([atoms(20, 16, 1), torch.zeros(1, 16)])
    table[7] = 2 * table[3] + 0.01 * table[4]
    table[11] = table[5]  # the same row twice: of equal ones the lower, and no weights without end
    places, weights = sparse_codes(table[[3, 11]], table, 4)
    assert places[0, :2].tolist() == [3, 7]
    assert places[1, :2].tolist() == [5, 11]
    torch.testing.assert_close(torch.einsum("mk,mkd->md", weights, table[places]), table[[3, 11]])
    assert float(weights.abs().max()) <= 1.001
    assert all(len(set(row)) == 4 for row in places.tolist())


# ---- prompt tokens


def prompts(transform: PromptTokens, samples: Space) -> PromptTokensProgram:
    program = transform.build(samples, VECTORS)
    assert isinstance(program, PromptTokensProgram)
    return program


def test_prompt_tokens_stand_where_the_template_says() -> None:
    program = prompts(PromptTokens(before=1, between=9, after=2, mask=7), OWN)
    found = program(torch.tensor([[5, 6, 0, 0]]))[0]
    zero = torch.zeros(D)
    rows = [TABLE[7], TABLE[5], TABLE[6], zero, zero, TABLE[7], TABLE[7], zero, zero, zero, zero, zero]
    torch.testing.assert_close(found, torch.stack(rows))
    with torch.no_grad():
        program.weight.copy_(torch.arange(3.0)[:, None].expand(3, D))
    found = program(torch.tensor([[5, 6, 1, 2]]))[0, :, 0]
    torch.testing.assert_close(found[[0, 5, 6]], torch.arange(3.0) * TABLE.std())


def test_between_is_between_segments() -> None:
    program = prompts(PromptTokens(before=0, between=2, after=1, mask=9), Space((3, 2), symbols=V))
    found = program(torch.tensor([[[1, 2], [3, 0], [5, 6]]]))[0]
    order = [1, 2, 9, 9, 3, 0, 9, 9, 5, 6, 9, 0]
    torch.testing.assert_close(found, vectors_of(torch.tensor(order), TABLE))


def test_what_prompt_tokens_start_at() -> None:
    one = PromptTokens(before=2, after=1, mask=9)
    torch.testing.assert_close(prompts(one, OWN).vectors(), TABLE[9].expand(3, D))
    torch.testing.assert_close(prompts(PromptTokens(init="mean", before=3, after=0), OWN).vectors()[2], TABLE.mean(0))
    drawn = prompts(PromptTokens(init="normal", before=3, after=3), OWN).weight
    assert not torch.equal(drawn, prompts(PromptTokens(init="normal", before=3, after=3, seed=1), OWN).weight)
    many = drawn_like(TABLE, 20_000, 0)
    torch.testing.assert_close(many.mean(0), TABLE.mean(0), atol=3e-3, rtol=0)
    torch.testing.assert_close(many.std(0), TABLE.std(0), atol=3e-3, rtol=0)


# ---- vocabulary map


def vocabulary(transform: VocabularyMap) -> VocabularyProgram:
    program = transform.build(LETTERS, VECTORS)
    assert isinstance(program, VocabularyProgram)
    return program


def dense(program: VocabularyProgram) -> Tensor:
    """Theta (N_T - 1, N_S)."""
    return torch.zeros(len(program.weight), V).scatter_(1, program.places, program.weight.detach())


def test_a_vocabulary_is_theta_times_the_table() -> None:
    """The survey's V_S theta, with theta d x d, would not even have the right shape."""
    program = vocabulary(VocabularyMap(nonzeros=3))
    vectors = torch.cat([torch.zeros(1, D), dense(program) @ TABLE])
    torch.testing.assert_close(program(SAMPLES)[:, :6], vectors[SAMPLES])
    assert not program(SAMPLES)[:, 6:].any()
    assert int((dense(program) != 0).sum(1).max()) == 3


def test_letters_start_as_the_source_s_own() -> None:
    program = vocabulary(VocabularyMap(nonzeros=4, like="30 31 2 3"))
    torch.testing.assert_close(program.vectors()[1:], TABLE[[30, 31, 2, 3]], atol=1e-6, rtol=0)


def test_the_gradient_is_that_of_a_dense_theta_on_its_places() -> None:
    program = vocabulary(VocabularyMap(nonzeros=3))
    theta = dense(program).requires_grad_()
    aim = torch.randn(2, 6, D)
    (program(SAMPLES)[:, :6] * aim).sum().backward()
    (torch.cat([torch.zeros(1, D), theta @ TABLE])[SAMPLES] * aim).sum().backward()
    assert theta.grad is not None
    assert program.weight.grad is not None
    torch.testing.assert_close(program.weight.grad, theta.grad.gather(1, program.places))
    torch.testing.assert_close(program.asked @ TABLE.t(), theta.grad)


def test_a_tenth_of_the_training_exchanges_the_weakest_for_the_wanted() -> None:
    program = vocabulary(VocabularyMap(nonzeros=5, exchanged=0.4))
    before = dense(program)
    (program(SAMPLES)[:, :6] * torch.randn(2, 6, D)).sum().backward()
    slopes = (program.asked @ F.normalize(TABLE, dim=1).t()).abs()
    program.anneal(0.09)
    assert torch.equal(dense(program), before), "not a tenth yet"
    program.anneal(0.1)
    after = dense(program)
    share = before.abs() * TABLE.norm(dim=1)
    for row in range(4):
        taken = set(before[row].nonzero().flatten().tolist())
        weakest = set(sorted(taken, key=lambda place: float(share[row, place]))[:2])
        wanted = set(sorted(set(range(V)) - taken, key=lambda place: -float(slopes[row, place]))[:2])
        assert set(program.places[row].tolist()) == taken - weakest | wanted
        assert set(after[row].nonzero().flatten().tolist()) == taken - weakest, "the new ones start at 0"
    assert not program.asked.any()
    program.anneal(0.15)
    assert torch.equal(dense(program), after)
    for progress, exchanged in ((0.8, True), (0.9, False)):
        (program(SAMPLES)[:, :6] * torch.randn(2, 6, D)).sum().backward()
        places = program.places.clone()
        program.anneal(progress)
        assert torch.equal(places, program.places) != exchanged, "the last tenth trains what it has"


def test_without_gradients_nothing_is_exchanged() -> None:
    program = vocabulary(VocabularyMap(nonzeros=5, exchanged=1.0))
    places = program.places.clone()
    with torch.no_grad():
        program(SAMPLES)
    program.anneal(0.5)
    assert torch.equal(places, program.places)


def test_where_few_are_left_few_are_exchanged() -> None:
    program = vocabulary(VocabularyMap(nonzeros=V - 1, exchanged=1.0))
    (program(SAMPLES)[:, :6] * torch.randn(2, 6, D)).sum().backward()
    program.anneal(0.1)
    assert all(len(set(row)) == V - 1 for row in program.places.tolist())


# ---- context remap


def test_the_scores_are_a_convolution_over_one_hot_letters() -> None:
    """The twin looks at each place by itself; places beyond the sample, and where nothing stands, add nothing."""
    scores = ContextScores(5, 7, 3, 0)
    with torch.no_grad():
        scores.bias.normal_()
    found = scores(SAMPLES)
    for row, sample in enumerate(SAMPLES.tolist()):
        for place in range(6):
            expected = scores.bias.detach().clone()
            for offset in (-1, 0, 1):
                letter = sample[place + offset] if 0 <= place + offset < 6 else 0
                if letter:
                    expected += scores.weight.detach()[:, letter - 1, offset + 1]
            torch.testing.assert_close(found[row, place], expected)


def test_relaxed_choices_get_hard_as_it_gets_cold() -> None:
    program = ContextRemap().build(LETTERS, VECTORS)
    assert isinstance(program, RelaxedRemapProgram)
    assert isinstance(program, Anneals)
    assert not isinstance(program, Draws)
    assert program.temperature == 2.0
    torch.manual_seed(0)
    warm = program(SAMPLES)
    program.anneal(0.5)
    assert program.temperature == pytest.approx(1.005)
    program.anneal(1.0)
    assert program.temperature == pytest.approx(0.01)
    torch.manual_seed(0)
    cold = program(SAMPLES)
    nearest = [torch.cdist(found[0, :3].detach(), TABLE).min(1).values.max() for found in (warm, cold)]
    assert float(nearest[1]) < 1e-3 < float(nearest[0])
    assert not warm[0, 3:].any(), "nothing stays nothing"
    program.eval()
    symbols = program.scores(SAMPLES).argmax(2) + 1
    torch.testing.assert_close(program(SAMPLES)[:, :6], vectors_of(symbols * (SAMPLES != 0), TABLE))


def test_drawn_choices_are_drawn_with_the_chances_they_report() -> None:
    program = ContextRemap(width=1).build(Space((2,), symbols=3), Space((3,), symbols=4))
    assert isinstance(program, DrawnRemapProgram)
    assert isinstance(program, Draws)
    with torch.no_grad():
        program.scores.weight.normal_()
    many = torch.tensor([[1, 0]]).expand(20_000, 2)
    torch.manual_seed(1)
    drawn = program(many)
    assert not drawn[:, 1:].any()
    chances = program.scores(many[:1])[0, 0].softmax(0)
    shares = torch.bincount(drawn[:, 0], minlength=4) / len(drawn)
    assert float(shares[0]) == 0
    torch.testing.assert_close(shares[1:], chances.detach(), atol=0.015, rtol=0)
    torch.testing.assert_close(program.log_chance().exp(), chances[drawn[:, 0] - 1])
    program.eval()
    assert program(many[:1])[0].tolist() == [int(chances.argmax()) + 1, 0, 0]


# ---- errors

PIXELS = Space((3, 4, 4), 0.0, 1.0)


@pytest.mark.parametrize(
    ("transform", "samples", "takes", "complaint"),
    [
        (PromptTokens(), OWN, VECTORS, "4 symbols of a sample and 10 trained vectors are 14, and the source reads 12"),
        (PromptTokens(), Space((2, 3), symbols=V), VECTORS, "6 symbols of a sample and 15 trained vectors are 21"),
        (
            PromptTokens(),
            OWN,
            SYMBOLS,
            r"reads \(12,\) and has no table of vectors; a program of prompt tokens needs one",
        ),
        (PromptTokens(0, 5, 0), OWN, VECTORS, r"No vector would train: before 0, between 5 \(segments: 1\), after 0"),
        (PromptTokens(1, 1, 1), Space((4,), symbols=41), VECTORS, "symbols up to 40, and the source's end at 39"),
        (PromptTokens(1, 1, 1), Space((4,)), VECTORS, r"A sample is of shape \(4,\); prompt tokens need symbols"),
        (PromptTokens(1, 1, 1, mask=40), OWN, VECTORS, "start at symbol 40, and the source has 40"),
        (VocabularyMap(3), Space((13,), symbols=5), VECTORS, "A sample has 13 symbols, and the source reads 12"),
        (VocabularyMap(41), LETTERS, VECTORS, "41 vectors a symbol are more than the source's 40"),
        (VocabularyMap(3), LETTERS, SYMBOLS, "has no table of vectors; a vocabulary program"),
        (VocabularyMap(3), Space((6,)), VECTORS, "needs rows of symbols"),
        (VocabularyMap(3, like="1 2 3"), LETTERS, VECTORS, "like names 3 symbols up to 3; the task has 4"),
        (VocabularyMap(3, like="1 2 3 40"), LETTERS, VECTORS, "up to 40; the task has 4 .* end at 39"),
        (ContextRemap(), LETTERS, PIXELS, r"reads numbers of shape \(3, 4, 4\); a context remap needs"),
        (ContextRemap(), Space((13,), symbols=5), SYMBOLS, "A sample has 13 symbols, and the source reads 12"),
        (ContextRemap(), Space((6,)), SYMBOLS, "needs rows of symbols"),
    ],
)
def test_what_does_not_fit_is_refused(transform: InputTransform, samples: Space, takes: Space, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        transform.build(samples, takes)


def test_settings_that_make_no_sense_are_refused() -> None:
    for make, complaint in (
        (lambda: VocabularyMap(like="1, 2"), "write whole numbers, such as 1037 1039"),
        (lambda: ContextRemap(width=4), "width is 4; it must be odd"),
        (lambda: ContextRemap(hottest=0.1, coldest=0.5), "coldest is 0.5, and hottest only 0.1"),
    ):
        with pytest.raises(UsageError, match=complaint):
            make()
