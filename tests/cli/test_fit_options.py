"""The command's options, the request and the help are one thing said once more: they agree."""

import dataclasses
import inspect

import pytest

from edgewise.cli import fit as verb
from edgewise.cli.jobs import JOBS, job
from edgewise.cli.main import VERBS
from edgewise.cli.options import share
from edgewise.core.settings import parse_assignments
from edgewise.jobs.request import FitRequest
from edgewise.lean import lean_named

OF_THE_RUN = {"ctx", "out", "resume", "quiet", "as_json", "debug"}
IN_LEAN = {"frozen_bits", "budget"}  # options that go into the field ``lean``
OPTIONS = inspect.signature(verb.fit).parameters
FIELDS = {field.name: field for field in dataclasses.fields(FitRequest)}


def test_every_field_has_an_option_and_every_option_a_field() -> None:
    assert {*OPTIONS, "method_settings"} - OF_THE_RUN - IN_LEAN - {"set_"} == set(FIELDS)


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"data", "method_settings", "max_bad", "lean"}))
def test_defaults_agree(name: str) -> None:
    assert OPTIONS[name].default == FIELDS[name].default


def test_defaults_that_are_text_on_the_command_line_agree() -> None:
    assert share("--max-bad", OPTIONS["max_bad"].default) == FIELDS["max_bad"].default
    assert lean_named(OPTIONS["lean"].default, OPTIONS["frozen_bits"].default) == FIELDS["lean"].default
    assert parse_assignments(OPTIONS["set_"].default or []) == FitRequest("photos").method_settings


def test_every_verb_has_its_job() -> None:
    assert list(JOBS) == list(VERBS)
    for name in JOBS:
        assert job(name).__doc__
