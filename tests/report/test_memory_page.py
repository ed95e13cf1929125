"""The page of a profile: its numbers, its pictures, and nothing that could run."""

import re
from xml.etree import ElementTree

import pytest
from memory_samples import memory_record, prediction

from edgewise.report.memory_page import Grown, memory_page

HOSTILE = "<script>alert(1)</script>\x07"


def figures(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r'<svg [^>]*class="figure.*?</svg>', page, re.DOTALL)]


def test_the_numbers_are_on_the_page() -> None:
    found = prediction(measured_peak_mb=32.83, measured_rss_mb=86.5, step_ms=238.0, threads=1)
    page = memory_page(memory_record(found=found)).replace("\u00a0", " ")
    for number in ("49.72 MB", "32.50 MB", "32.83 MB", "86.50 MB", "412.50 MB", "238 ms", "on 1 thread<"):
        assert number in page
    assert "12.7 times" in page
    assert "1,000 of 2,000 parameters" in page
    assert len(figures(page)) == 9
    assert len(page) < 2_000_000


def test_what_was_not_measured_is_not_filled_in() -> None:
    page = memory_page(memory_record())
    assert "add --measure to count it" in page
    assert "It was not measured here." in page
    assert "The dashed line" not in page
    page = memory_page(memory_record(found=prediction(heap_counter="there is no C compiler")))
    assert "not counted: there is no C compiler" in page


def test_without_backward_work_only_forward_is_drawn() -> None:
    bare = prediction(macs_backward=None)
    grown = Grown({1: bare, 8: bare}, {})
    page = memory_page(memory_record(found=bare, batch_sizes=grown, image_sizes=grown))
    assert "linear layers, forward only" in page
    assert ">backward</text>" not in page


def test_what_was_left_out_is_named() -> None:
    found = prediction(uncovered=["head.norm (Odd)"])
    page = memory_page(memory_record(found=found, notes=("At 8 px there is no prediction: too small",)))
    assert "Not covered by the lean pass: head.norm (Odd)" in page
    assert "At 8 px there is no prediction: too small" in page


def test_a_prediction_without_moments_has_no_picture() -> None:
    empty = prediction(moments=0)
    page = memory_page(memory_record(found=empty, other=empty))
    assert "there is nothing to draw" in page
    assert len(figures(page)) == 6


def test_hostile_text_stays_text() -> None:
    settings = {**memory_record().settings, "backbone": HOSTILE, "method": HOSTILE, "lean": HOSTILE}
    page = memory_page(memory_record(settings=settings, command=HOSTILE, notes=(HOSTILE,)))
    assert "<script" not in page
    assert "\x07" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("ours", "other", "said"), [("small", "off", "stock PyTorch takes"), ("off", "small", "stock")]
)
def test_the_comparison_says_which_takes_more(ours: str, other: str, said: str) -> None:
    settings = {**memory_record().settings, "lean": ours}
    few, many = prediction(), prediction(20.0)
    found, compared = (few, many) if ours == "small" else (many, few)
    page = memory_page(memory_record(settings=settings, found=found, other=compared, other_lean=other))
    assert "stock PyTorch takes 12.7 times what lean small takes" in page


def test_frozen_weights_of_8_bits_are_not_called_the_same() -> None:
    assert "the same results to rounding" in memory_page(memory_record())
    settings = {**memory_record().settings, "frozen_bits": 8}
    assert "the same results to rounding" not in memory_page(memory_record(settings=settings))
