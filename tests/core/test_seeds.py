"""Streams of random numbers are told apart by their coordinates."""

from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.seeds import derive

seeds = st.integers(0, 2**31 - 1)
coordinates = st.lists(st.integers(0, 2**31 - 1), max_size=4).map(tuple)


@given(seeds, coordinates)
def test_a_seed_fits_where_seeds_go(seed: int, place: tuple[int, ...]) -> None:
    assert 0 <= derive(seed, *place) < 2**63
    assert derive(seed, *place) == derive(seed, *place)


@given(seeds, coordinates, seeds, coordinates)
def test_other_places_have_other_streams(one: int, here: tuple[int, ...], two: int, there: tuple[int, ...]) -> None:
    assert (derive(one, *here) == derive(two, *there)) == ((one, here) == (two, there))


def test_a_trailing_zero_is_a_coordinate() -> None:
    assert len({derive(0), derive(0, 0), derive(0, 0, 0), derive(0, 0, 0, 0)}) == 4


def test_the_streams_never_change() -> None:
    """A run that was started with an older version must resume with the same numbers."""
    assert derive(0, 1, 2, 3) == 111153931448329364
    assert derive(7) == 4474668370826950401
