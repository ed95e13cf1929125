"""Schedules at points computed by hand, and when which sub-net is updated."""

import pytest

from edgewise.core.errors import UsageError
from edgewise.subnets.schedule import Timing, density_at, exchanged, level, timing


def test_the_cubic_schedule_at_hand_computed_points():
    assert [level(k, 4) for k in (0, 1, 2, 3, 4, 5)] == [0, 0.578125, 0.875, 0.984375, 1, 1]
    # GraNet: d_i + (d_n - d_i) (1 - (1 - 1/4)^3) = 1 - 0.98 * 0.578125
    assert density_at(1.0, 0.02, level(1, 4)) == pytest.approx(0.4334375)
    assert density_at(0.3, 0.1, 1) == 0.1


def test_the_cosine_of_the_exchange_at_hand_computed_points():
    found = [exchanged(p, 0.5, 0.005) for p in (0, 0.25, 0.5, 1)]
    assert found == pytest.approx([0.5, 0.005 + 0.495 * (1 + 2**-0.5) / 2, 0.2525, 0.005])


def test_updates_come_with_the_period_and_the_offset():
    """The released code's CIFAR-10 numbers: every 333 own steps, 100 later a sub-net, 43 updates that prune."""
    found = Timing(333, 100, 43)
    own = [[step for step in range(1200) if found.update(n, step)] for n in range(3)]
    assert own == [[333, 666, 999], [433, 766, 1099], [533, 866, 1199]]
    assert found.update(1, 766) == 2
    assert found.update(0, 0) is None
    assert found.update(1, 100) is None
    assert found.last_pruning(2) == 200 + 43 * 333


def test_the_usual_timing_is_the_released_codes_on_its_run():
    own = 160 * 391 // 3
    found = timing(own, 3, 110 / 160)
    assert found == Timing(336, 101, 42)  # its 333 and 100 are 999 and 300 of all steps


def test_no_two_sub_nets_of_a_usual_run_are_updated_together():
    found = timing(10_000, 3, 0.6875)
    updated = [n for step in range(10_000) for n in range(3) if found.update(n, step)]
    steps = [step for step in range(10_000) if sum(found.update(n, step) is not None for n in range(3)) > 1]
    assert len(updated) > 150
    assert steps == []


@pytest.mark.parametrize(
    "given", [(1, 1, 0.7), (30, 3, 0.7, 40), (30, 3, 0.9, 10, 5), (30, 2, 0.0)], ids=["short", "rare", "late", "never"]
)
def test_a_run_in_which_a_density_is_not_reached_is_refused(given):
    with pytest.raises(UsageError, match="would not reach its density.*--epochs"):
        timing(*given)
