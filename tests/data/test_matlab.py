"""MATLAB's files: what MATLAB and scipy write is read, and nothing that is damaged is believed."""

import contextlib
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.errors import EdgewiseError
from edgewise.data.official import matlab
from edgewise.data.official.matlab import read_mat
from matlab_writer import Records, Texts, array, element, header, variable, write_mat

VARIABLES = {
    "labels": [77, 1, 102],
    "many": list(range(300)),
    "negative": [-5, 3_000_000, 70_000],
    "word": "Ram C/V Cargo Van",
    "letter": "é",
    "nothing": "",
    "names": Texts(["AM General", "", "Citroën DS"]),
    "annotations": Records(("class", "fname"), [(196, "00001.jpg"), (2, "2.jpg")]),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_written_is_read(tmp_path: Path, compressed: bool, order: str) -> None:
    mat = read_mat(write_mat(tmp_path / "x.mat", VARIABLES, compressed, order))
    for name in ("labels", "many", "negative"):
        assert mat.numbers(name) == VARIABLES[name]
    for name in ("word", "letter", "nothing"):
        assert mat.values[name] == VARIABLES[name]
    assert mat.texts("names") == ["AM General", "", "Citroën DS"]
    assert mat.records("annotations", "class", "fname") == [(196, "00001.jpg"), (2, "2.jpg")]


def test_our_writer_against_scipy(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    path = write_mat(tmp_path / "x.mat", VARIABLES)
    found = io.loadmat(path, squeeze_me=True, uint16_codec="utf-16-le")  # what MATLAB writes, not what scipy expects
    assert found["negative"].tolist() == VARIABLES["negative"]
    assert [name if len(name) else "" for name in found["names"]] == ["AM General", "", "Citroën DS"]
    assert [(one["class"], one["fname"]) for one in found["annotations"]] == [(196, "00001.jpg"), (2, "2.jpg")]


FORMS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@given(
    compressed=st.booleans(),
    form=st.sampled_from(FORMS),
    shape=st.lists(st.integers(0, 4), min_size=2, max_size=3).map(tuple),
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=4),
    numbers=st.lists(st.integers(0, 2**15), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_what_scipy_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    compressed: bool,
    form: str,
    shape: tuple[int, ...],
    texts: list[str],
    numbers: list[int],
) -> None:
    io = pytest.importorskip("scipy.io")
    file = tmp_path_factory.getbasetemp() / "scipy.mat"
    array_of_numbers = np.arange(np.prod(shape)).reshape(shape).astype(form)
    cells = np.empty((1, len(texts)), dtype=object)
    cells[0] = texts
    records = np.zeros((1, len(numbers)), dtype=[("class", object), ("fname", object)])
    for place, number in enumerate(numbers):
        records[0, place] = (number, f"{number}.jpg")
    io.savemat(file, {"a": array_of_numbers, "cells": cells, "records": records}, do_compression=compressed)
    mat = read_mat(file)
    assert mat.numbers("a") == array_of_numbers.ravel(order="F").tolist()
    # scipy writes no text as numbers, none at all
    assert ["" if not len(one) else one for one in mat.values["cells"]] == texts
    assert mat.records("records", "class", "fname") == [(number, f"{number}.jpg") for number in numbers]


# What goes wrong


def reason(path: Path, content: bytes) -> str:
    """Why a file of that content cannot be read."""
    path = path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(EdgewiseError) as caught:
        read_mat(path)
    text = str(caught.value)
    assert text.startswith(f"{path} cannot be read: ")
    assert text.endswith(". Download it again.")
    return text.removeprefix(f"{path} cannot be read: ").removesuffix(". Download it again.")


def flags(content: int, *dims: int, more: int = 0) -> bytes:
    """How an array begins."""
    sizes = struct.pack(f"<{len(dims)}i", *dims)
    return element(6, struct.pack("<II", content | more, 0)) + element(5, sizes) + element(1, b"x")


def one(*parts: bytes) -> bytes:
    """A file with one array made of ``parts``."""
    return header() + element(14, b"".join(parts))


NESTED = array("", [1])
for _ in range(10):
    NESTED = element(14, flags(1, 1, 1) + NESTED)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04" + bytes(200), "it is no .mat file of level 5"),
        (header()[:100], "it is no .mat file of level 5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "it is of version 7.3 (HDF5), and version 7 or older is expected"),
        (b"MATLAB 7.3 MAT-file".ljust(512), "it is of version 7.3 (HDF5), and version 7 or older is expected"),
        (header() + bytes(3), "it is cut off"),
        (header() + struct.pack("<II", 14, 2**32 - 1), "it is cut off"),
        (header() + struct.pack("<II", 9, 0), "a variable is of the unknown kind 9"),
        (header() + struct.pack("<II", 5 << 16 | 1, 0), "it is cut off"),  # five bytes in four
        (
            header() + struct.pack("<II", 15, 4) + b"abcd",
            "a compressed part is damaged (Error -3 while decompressing data: incorrect header check)",
        ),
        (header() + variable("x", [1])[:-6], "it is cut off"),
        (one(flags(6, 1, 2**31 - 1), element(9, bytes(16))), "an array of 2,147,483,647 numbers holds 2"),
        (one(flags(6, *(2**31 - 1,) * 32), element(9, b"")), f"an array of {(2**31 - 1) ** 32:,} numbers holds 0"),
        (one(flags(6, *(1,) * 33), element(9, bytes(8))), "the description of an array is damaged"),
        (one(flags(6, 1, -1), element(9, b"")), "the description of an array is damaged"),
        (one(flags(6, 1), element(9, bytes(8))), "the description of an array is damaged"),
        (one(flags(6, 1, 1), element(9, bytes(9))), "it is cut off"),
        (one(flags(6, 1, 1), element(77, bytes(8))), "numbers are stored as the unknown kind 77"),
        (one(flags(6, 1, 1)), "it is cut off"),
        (one(flags(1, 1, 2**31 - 1), array("", [1])), "it is cut off"),
        (one(flags(1, 1, 1), element(9, bytes(8))), "there is a piece of kind 9 where an array belongs"),
        (one(NESTED), "the description of an array is damaged"),
        (header() + NESTED, "its cells are nested more than 8 deep"),
        (
            one(flags(2, 2**31 - 1, 2**31 - 1), element(5, struct.pack("<i", 2)), element(1, b"a\0b\0")),
            "it is cut off",
        ),
        (
            one(flags(2, 1, 1), element(5, struct.pack("<i", 0)), element(1, b"ab")),
            "the names of a structure's fields are damaged",
        ),
        (
            one(flags(2, 0, 0), element(5, struct.pack("<i", 1)), element(1, bytes(257))),
            "the names of a structure's fields are damaged",
        ),
        (one(flags(4, 2, 2), element(4, bytes(8))), "it holds a table of 2 x 2 characters, not read here"),
        (one(flags(4, 1, 2), element(16, b"\xff\xff")), "a text in it is damaged (invalid start byte)"),
        (one(flags(4, 1, 2), element(9, bytes(16))), "a text is stored as the unknown kind 9"),
        (
            one(flags(6, 1, 1, more=0x0800), element(9, bytes(8)), element(9, bytes(8))),
            "it holds arrays that are sparse, complex or objects, which are not read here",
        ),
        (one(flags(5, 1, 1)), "it holds arrays that are sparse, complex or objects, which are not read here"),
        (one(flags(3, 1, 1)), "it holds arrays that are sparse, complex or objects, which are not read here"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, why: str) -> None:
    began = time.monotonic()
    tracemalloc.start()
    try:
        assert reason(tmp_path, content) == why
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 5


def test_any_number_of_structures_without_fields_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(one(flags(2, *(2**31 - 1,) * 2), element(5, struct.pack("<i", 8)), element(1, b"")))
    assert read_mat(path).values == {"x": {}}


def test_what_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "LARGEST", 1 << 20)
    bomb = zlib.compress(bytes(50 << 20), 9)
    parts = struct.pack("<II", 15, len(bomb)) + bomb
    tracemalloc.start()
    try:
        assert reason(tmp_path, header() + parts) == "it unpacks to more than the 1 MB that are read"
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    several = b"".join(variable(f"x{number}", [7] * 300_000) for number in range(4))
    assert reason(tmp_path, header() + several) == "it unpacks to more than the 1 MB that are read"
    assert reason(tmp_path, header() + bytes(1 << 20)) == "it has 1 MB, more than the 1 MB that are read"


WHOLE = {
    compressed: b"".join(variable(*item, compressed) for item in VARIABLES.items()) for compressed in (True, False)
}


@pytest.mark.parametrize("compressed", [True, False])
def test_cut_off_anywhere(tmp_path: Path, compressed: bool) -> None:
    """Only between two variables is what is left a whole file."""
    path, content = tmp_path / "x.mat", header() + WHOLE[compressed]
    sizes = [len(variable(*item, compressed)) for item in VARIABLES.items()]
    between = {128 + sum(sizes[:number]) for number in range(len(sizes))}
    for size in range(len(content)):
        path.write_bytes(content[:size])
        if size in between:
            assert len(read_mat(path).values) == sorted(between).index(size)
        else:
            with pytest.raises(EdgewiseError, match="cannot be read"):
                read_mat(path)


@given(place=st.integers(0, 10_000), bits=st.integers(1, 255), more=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=400)
def test_changed_anywhere(
    tmp_path_factory: pytest.TempPathFactory, place: int, bits: int, more: int, byte: int
) -> None:
    """Damage is either found or changes a value; it is never a crash."""
    path, content = tmp_path_factory.getbasetemp() / "changed.mat", bytearray(header() + WHOLE[False])
    content[place % len(content)] ^= bits
    content[more % len(content)] = byte
    path.write_bytes(content)
    with contextlib.suppress(EdgewiseError):
        mat = read_mat(path)
        assert all(isinstance(number, int) for number in mat.numbers("labels"))
        assert all(isinstance(text, str) for text in mat.texts("names"))
        assert len(mat.records("annotations", "class", "fname")) <= 2


@pytest.mark.parametrize(
    ("value", "ask", "what"),
    [
        ("text", lambda mat: mat.numbers("x"), "an array of whole numbers"),
        (Texts(["a"]), lambda mat: mat.numbers("x"), "an array of whole numbers"),
        ([1], lambda mat: mat.texts("x"), "a cell array of texts"),
        (
            Records(("class",), [(1,)]),
            lambda mat: mat.records("x", "class", "fname"),
            "structures with a whole number 'class' and a text 'fname' each",
        ),
        (
            Records(("class", "fname"), [(1, "a"), ("b", "c")]),
            lambda mat: mat.records("x", "class", "fname"),
            "structures with a whole number 'class' and a text 'fname' each",
        ),
    ],
)
def test_another_kind_of_variable(tmp_path: Path, value: object, ask: object, what: str) -> None:
    mat = read_mat(write_mat(tmp_path / "x.mat", {"x": value}))
    with pytest.raises(EdgewiseError) as caught:
        ask(mat)
    assert str(caught.value) == (
        f"The variable 'x' of {tmp_path / 'x.mat'} is not {what}. Is it another file under this name?"
    )


@pytest.mark.parametrize("wrong", [0.5, float("nan"), float("inf")])
def test_numbers_that_are_not_whole(tmp_path: Path, wrong: float) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(one(flags(6, 1, 1), element(9, struct.pack("<d", wrong))))
    with pytest.raises(EdgewiseError, match="'x' of .* is not an array of whole numbers"):
        read_mat(path).numbers("x")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match=r"x\.mat cannot be read: No such file or directory\.$"):
        read_mat(tmp_path / "x.mat")
