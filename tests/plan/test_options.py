"""What a plan chooses from, and which options are never worth a prediction."""

import pytest

from edgewise.lean import Lean
from edgewise.plan import Option, needs_at_least, options


def test_every_way_of_every_method_the_smallest_first() -> None:
    found = list(options(("bias", "last"), 8))
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 4
    assert [option.method for option in found] == ["bias"] * 16 + ["last"] * 16
    assert found[0] == Option("bias", Lean(chunk=1, frozen_bits=8, recompute=True))
    assert [option.lean.chunk for option in found[:4]] == [1, 2, 4, 0]
    assert found[15] == Option("bias", Lean(chunk=0, frozen_bits=32, recompute=False))


@pytest.mark.parametrize(
    ("batch_size", "chunks"), [(1, [0]), (2, [1, 0]), (3, [1, 2, 0]), (4, [1, 2, 0]), (64, [1, 2, 4, 0])]
)
def test_a_chunk_is_less_than_the_batch_or_the_whole_of_it(batch_size: int, chunks: list[int]) -> None:
    found = [option.lean.chunk for option in options(("last",), batch_size)]
    assert found == chunks * 4


@pytest.mark.parametrize(("batch_size", "chunks"), [(8, (1, 2, 4, 0)), (4, (1, 2, 0)), (2, (1, 0)), (1, (0,))])
def test_the_smaller_neighbour_differs_in_the_chunk_alone(batch_size: int, chunks: tuple[int, ...]) -> None:
    in_order = [Option("bn", Lean(chunk, 8, False)) for chunk in chunks]
    assert [needs_at_least(option, batch_size) for option in in_order] == [None, *in_order[:-1]]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_smaller_neighbour_is_asked_before(batch_size: int) -> None:
    """Leaving out works in one pass: whatever an option needs at least is known when its turn comes."""
    seen: set[Option] = set()
    for option in options(("bias", "bn"), batch_size):
        assert needs_at_least(option, batch_size) in {None, *seen}
        seen.add(option)
