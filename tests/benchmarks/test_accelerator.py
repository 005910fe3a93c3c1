"""The script for accelerators: it says where there is none, and its parts run on a processor."""

import jax
import pytest

from benchmarks.accelerator.run import PARTS, SMALL, main, row
from benchmarks.accelerator.table import ACCELERATOR, accelerator

WITHOUT = "no GPU or TPU that JAX can use was found: nothing is measured, nothing is written\n"


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is an accelerator")
def test_without_an_accelerator_it_says_so_and_writes_nothing(capsys):
    before = ACCELERATOR.path.exists()
    assert main([]) == 0
    assert capsys.readouterr().out == WITHOUT
    assert ACCELERATOR.path.exists() == before


def test_a_row_says_whether_bits_are_the_same_and_how_far_numbers_differ():
    (one, other) = ({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]})
    assert row("x", "y", one, one)["same_bits"]
    found = row("x", "y", one, other, 1.5)
    assert (found["same_bits"], found["largest_difference"]) == (False, 0.5)


@pytest.mark.slow
def test_its_parts_run_on_a_processor_and_make_a_table():
    device = jax.local_devices(backend="cpu")[0]
    rows = [found for part in PARTS for found in part(device, device, SMALL)]
    for found in rows:
        close = found["largest_difference"] < 1e-4
        assert found["same_bits"] or ("product" in found["what"] and close), found
    tests = {"passed": 3, "failed": 1, "names": ["tests/x.py::test_y"]}
    lines = accelerator({"figures": {"device": "toy", "parts": rows, "tests": tests}})
    assert len(lines) == len(rows) + 3 and "3 pass, 1 fail" in lines[-1]
