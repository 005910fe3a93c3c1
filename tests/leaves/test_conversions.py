"""Leaves that are made beside others."""

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import Clustered, Half, Sparse, half
from jaxcompress.quantization._quantize import quantize

TECHNIQUES = {
    "half": (half, Half),
    "sparse": (jc.leaves.sparse, Sparse),
    "kmeans": (lambda params: jc.kmeans(params, 1), Clustered),
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_leaves_that_are_compressed_already_stay_as_they_are(name):
    technique, kind = TECHNIQUES[name]
    params = {"a": np.eye(3, dtype="f"), "b": np.eye(3, dtype="f")}
    before = quantize(params, scope=jc.scopes.matching("a"))
    after = technique(before)
    assert after["a"] is before["a"] and isinstance(after["b"], kind)
