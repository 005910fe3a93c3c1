"""Weights that another library has quantized: never packed without a word."""

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxcompress as jc
from jaxcompress.prequantized import quantized_layers
from tests.helpers.program import run

RNG = np.random.default_rng(0)
WORDS, SCALES = RNG.integers(-99, 99, (8, 64), np.int32), RNG.uniform(1, 2, (40, 64)).astype("e")
BYTES, FLOATS = WORDS.astype(np.uint8), RNG.normal(size=(40, 30)).astype("f")
LAYERS = {
    "GPTQ": {"qweight": WORDS, "qzeros": WORDS, "scales": SCALES, "g_idx": WORDS[0]},
    "AWQ": {"qweight": WORDS, "qzeros": WORDS, "scales": SCALES},
    "words": {"weight_packed": WORDS, "weight_scale": SCALES, "weight_shape": WORDS[0, :2]},
    "int8": {"weight": WORDS.astype(np.int8), "weight_scale": SCALES},
    "of transformers": {"weight": WORDS.astype(np.int8), "SCB": SCALES[0]},
    "nf4": {
        "weight": BYTES,
        "weight.absmax": SCALES[0],
        "weight.quant_map": SCALES[1],
        "weight.quant_state.bitsandbytes__nf4": BYTES[0],
    },
    "float8": {"weight": SCALES.astype(ml_dtypes.float8_e4m3fn), "weight_scale_inv": SCALES},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("slash", [".", "/"])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_found_with_all_their_parts(kind, slash):
    tree = {f"h{slash}0{slash}{part}": array for part, array in LAYERS[kind].items()}
    tree |= {f"h{slash}0{slash}bias": FLOATS[0], f"emb{slash}weight": FLOATS}
    found = quantized_layers(list(tree), list(tree.values()))
    assert found == {f"h{slash}0": list(range(len(LAYERS[kind])))}
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in tree.values()]
    assert quantized_layers(list(tree), shapes) == found


@pytest.mark.parametrize(
    "tree",
    [
        {"norm.weight": FLOATS, "norm.scales": SCALES},
        {"norm.weight": FLOATS, "norm.weight_scale": SCALES},
        {"table.weight": WORDS},
        {"a.qweight": WORDS, "b.scales": SCALES},
        {"my_qweight": WORDS, "scales": SCALES},
        {},
    ],
)
def test_other_layers_are_none(tree):
    assert quantized_layers(list(tree), list(tree.values())) == {}


@pytest.mark.parametrize("kind", ["GPTQ", "words", "nf4"])
def test_pack_says_so_and_keeps_integers_and_scales(here, kind):
    tree = {f"l{n}.{part}": a for n in range(2) for part, a in LAYERS[kind].items()}
    save_file(tree | {"emb.weight": FLOATS}, "m.safetensors")
    said = run("pack", "m.safetensors").err
    assert "m.safetensors: 2 of its layers are quantized already (l0, l1): their " in said
    assert (
        "of integers and scales are kept exactly" in said and "pack the weights from before" in said
    )
    for name, tensor in load_file("m.safetensors").items():
        if name != "emb.weight":
            assert jc.load("m.npz")[name].tolist() == tensor.tolist()


def test_what_unpack_writes_for_servers_is_recognized(here):
    rows = jc.quantization.per_channel(0)
    jc.save("m.npz", jc.quantize({"fc.weight": FLOATS}, granularity=rows))
    (here / "config.json").write_text("{}")
    run("unpack", "m.npz", "-o", "folder", "--compressed-tensors", "--like", "config.json")
    assert "quantized already" in run("pack", "folder", "--scope", "fc", "-o", "o.npz").err
