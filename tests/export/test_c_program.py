"""The C program against numpy and torch: integers bit for bit, floats to 1e-5; and what it may not need."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgewise.compress import Network, PackedNetwork
from edgewise.core.errors import EdgewiseError
from edgewise.export import integer
from edgewise.export.library import C_FOLDER, FAST, FLOAT, compiled, compiler, library, write_sources
from edgewise.export.program import logits_of
from edgewise.export.quantise import BITS, IntegerNetwork, quantised
from edgewise.export.source import quoted, sources
from small_networks import CLASSES, drawn, mobile, photos, residual

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C compiler here")
NETWORKS = {"residual": residual, "mobile": mobile, "odd slabs": lambda: residual(slab=1)}
# What a compiler may call, whatever the source says.
ALLOWED = {"memcpy", "memset", "memmove", "memcmp"}
AARCH64 = "aarch64-linux-gnu-gcc"


def expected(network: IntegerNetwork, given: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.stack([integer.run(network, photo) for photo in given])


def in_torch(network: Network, given: NDArray[np.uint8]) -> NDArray[np.float32]:
    return PackedNetwork(network)(torch.from_numpy(given).permute(0, 3, 1, 2)).numpy()


def agree(network: Network, bits: int, flags: tuple[str, ...] = ("-O1",)) -> None:
    given = photos(network.preprocess.size)
    whole = quantised(network, given, bits)
    made = sources(whole)
    built = library(made, len(CLASSES), flags=flags)
    np.testing.assert_array_equal(built.run(given), expected(whole, given))
    assert built.memory == made.memory
    logits = in_torch(network, given)
    floats = library(made, len(CLASSES), in_float=True, flags=flags).run(given)
    np.testing.assert_allclose(floats, logits, rtol=0, atol=1e-5 * max(1.0, float(np.abs(logits).max())))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_logit(name: str, bits: int) -> None:
    agree(NETWORKS[name](), bits, FAST)


@pytest.mark.parametrize("flags", [("-O2",), ("-Os",), ("-O3", "-march=x86-64-v3"), ("-O3", "-march=x86-64-v4")])
def test_every_way_to_compile(flags: tuple[str, ...]) -> None:
    """The plain loops, and those for AVX-512, whatever this machine prefers; x86-64-v4 only where it can run."""
    if "x86-64" in flags[-1] and "avx512bw" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512")
    agree(residual(side=20), 8, flags)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**20), bits=st.sampled_from(BITS))
def test_whatever_network(seed: int, bits: int) -> None:
    agree(drawn(seed), bits)


def test_integers_are_near_the_float_network() -> None:
    network = residual()
    given = photos(network.preprocess.size, 32)
    logits, largest = in_torch(network, given), float(np.abs(in_torch(network, given)).max())
    errors = {}
    for bits in BITS:
        whole = quantised(network, given, bits)
        errors[bits] = float(np.abs(expected(whole, given) * whole.values[-1].scale - logits).max()) / largest
    assert errors[8] < 0.1
    assert errors[16] < errors[8] / 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = mobile()
    write_sources(tmp_path / "c", sources(quantised(network, photos(network.preprocess.size))))
    return tmp_path / "c"


def needed(folder: Path, more: str = "") -> set[str]:
    """Symbols that the program leaves to others, without ``main.c``."""
    (folder / "edgewise.c").write_text((folder / "edgewise.c").read_text() + more)
    for name in ("edgewise", "network"):
        command = [str(compiler()), "-std=c99", "-O3", "-c", str(folder / f"{name}.c"), "-o", str(folder / f"{name}.o")]
        subprocess.run(command, check=True, capture_output=True)
    listed = subprocess.run(["nm", *map(str, folder.glob("*.o"))], check=True, capture_output=True, text=True).stdout
    defined = set(re.findall(r"^\w+ [A-TV-Z] (\w+)", listed, re.MULTILINE))
    return set(re.findall(r"^ +U (\w+)", listed, re.MULTILINE)) - defined - {"_GLOBAL_OFFSET_TABLE_"}


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm here")
def test_it_needs_nothing_but_string_h(folder: Path) -> None:
    assert needed(folder) <= ALLOWED
    assert "malloc" in needed(folder, "#include <stdlib.h>\nvoid *more(void) { return malloc(8); }\n")


def test_it_includes_nothing_else() -> None:
    text = "".join((C_FOLDER / name).read_text() for name in ("edgewise.h", "adding.h", "edgewise.c"))
    assert set(re.findall(r"#include <(.*)>", text)) == {"stdint.h", "string.h", "immintrin.h"}


def test_warnings_are_errors(folder: Path) -> None:
    (folder / "main.c").write_text((folder / "main.c").read_text() + "static int unused;\n")
    with pytest.raises(EdgewiseError, match="could not compile the exported program: .*unused"):
        compiled(folder, folder / "program")


def test_no_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(EdgewiseError, match=r"There is no C compiler here \(cc, gcc, clang\): install one"):
        compiled(folder, folder / "program")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_and_the_program(folder: Path) -> None:
    subprocess.run(["make", "-C", str(folder)], check=True, capture_output=True)
    given = photos(16, 3)
    (folder / "two.rgb").write_bytes(given[:2].tobytes())
    said = subprocess.run([folder / "edgewise", folder / "two.rgb"], capture_output=True, text=True)
    assert said.returncode == 0
    best = logits_of(folder / "edgewise", given, len(CLASSES)).argmax(1)
    assert said.stdout.splitlines() == [CLASSES[best[0]], CLASSES[best[1]]]
    cut = subprocess.run([folder / "edgewise"], input=given.tobytes()[:-1], capture_output=True)
    assert (cut.returncode, cut.stderr) == (1, b"The last photo is cut off: 767 bytes of 768.\n")
    missing = subprocess.run([folder / "edgewise", "nothing.rgb"], capture_output=True)
    assert (missing.returncode, missing.stderr) == (1, b"nothing.rgb cannot be opened.\n")


@pytest.mark.parametrize("flags", [(), (FLOAT,)])
def test_sanitizers_find_nothing(folder: Path, flags: tuple[str, ...]) -> None:
    """Neither an index beyond an array nor an overflow."""
    checked = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *flags)
    try:
        program = compiled(folder, folder / "program", checked)
    except EdgewiseError as error:
        pytest.skip(f"this compiler has no sanitizers: {error}")
    assert len(logits_of(program, photos(16, 3), len(CLASSES))) == 3
    text = (folder / "edgewise.c").read_text()
    (folder / "edgewise.c").write_text(
        text.replace("static sample arena[EW_ARENA]", "static sample arena[EW_ARENA / 2]")
    )
    with pytest.raises(EdgewiseError, match="AddressSanitizer"):
        logits_of(compiled(folder, folder / "program", checked), photos(16, 3), len(CLASSES))


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind here")
def test_valgrind_finds_nothing(folder: Path) -> None:
    checking = ("valgrind", "-q", "--error-exitcode=9", "--leak-check=full")
    program = compiled(folder, folder / "program", ("-O2", "-g"))
    assert len(logits_of(program, photos(16, 2), len(CLASSES), before=checking)) == 2
    text = (folder / "main.c").read_text()
    (folder / "main.c").write_text(
        text.replace("static uint8_t photo[", "uint8_t photo[").replace(
            "edgewise_run(photo", "uint8_t other[sizeof photo]; edgewise_run(other"
        )
    )
    program = compiled(folder, folder / "program", ("-O0", "-g", "-Wno-error", "-Wno-maybe-uninitialized"))
    with pytest.raises(EdgewiseError, match="ended with 9 .*uninitialised"):
        logits_of(program, photos(16, 2), len(CLASSES), before=checking)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which(AARCH64) is None or shutil.which("qemu-aarch64") is None,
    reason=f"{AARCH64} and qemu-aarch64 are not here (Debian: gcc-aarch64-linux-gnu, qemu-user)",
)
@pytest.mark.parametrize("bits", BITS)
def test_another_machine_gives_the_same_integers(tmp_path: Path, bits: int) -> None:
    network = residual(side=20)
    given = photos(20, 3)
    whole = quantised(network, given, bits)
    write_sources(tmp_path / "c", sources(whole))
    program = compiled(tmp_path / "c", tmp_path / "program", ("-O3", "-static"), command=AARCH64)
    found = logits_of(program, given, len(CLASSES), before=("qemu-aarch64",))
    np.testing.assert_array_equal(found, expected(whole, given))


def test_class_names_become_c_strings() -> None:
    assert quoted('a "b"??/\\ ü1') == '"a \\042b\\042\\077\\077/\\134 \\303\\2741"'
