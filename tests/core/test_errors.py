"""The words and the exit statuses of what a user can mend."""

import pytest

from edgewise.core.errors import EdgewiseError, InterruptedRun, UsageError, unknown


def test_exit_statuses() -> None:
    assert [kind.status for kind in (EdgewiseError, UsageError, InterruptedRun)] == [1, 2, 3]
    assert issubclass(UsageError, EdgewiseError)
    assert issubclass(InterruptedRun, EdgewiseError)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("repnt", "There is no method 'repnt'. Did you mean 'repnet'? Known: bias, last, repnet."),
        ("REPNET", "There is no method 'REPNET'. Did you mean 'repnet'? Known: bias, last, repnet."),
        ("quux", "There is no method 'quux'. Known: bias, last, repnet."),
    ],
)
def test_unknown_names_the_nearest(name: str, text: str) -> None:
    error = unknown("method", name, ["repnet", "last", "bias"])
    assert isinstance(error, UsageError)
    assert str(error) == text
