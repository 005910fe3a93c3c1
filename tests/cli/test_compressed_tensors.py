"""Folders for servers: words by hand, and what the library of their format makes of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import jaxcompress as jc
from jaxcompress.cli.formats.compressed_tensors import packed
from tests.helpers.program import refused, run

RNG = np.random.default_rng(0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grid(shape, scales, bits=4, dtype="f", zero_point=None):
    half = 1 << bits - 1
    return jc.Quantized(
        values=RNG.integers(-half, half, shape).astype(np.int8),
        scale=RNG.uniform(0.1, 2, scales).astype(dtype),
        zero_point=zero_point,
        bits=bits,
    )


def unpacked(tree, *options, name="m"):
    """Return the leaves as a file gives them, the tensors, the configuration, and what was said."""
    jc.save(f"{name}.npz", tree)
    said = run("unpack", f"{name}.npz", "-o", name, "--compressed-tensors", *options).err
    config = json.loads(Path(name, "config.json").read_text())
    shards = [load_file(path) for path in Path(name).glob("*.safetensors")]
    return {k: v for shard in shards for k, v in shard.items()}, config, said


def numbers(words, bits, columns):
    """Return integers out of words, one at a time."""
    a_word, half = 32 // bits, 2 ** (bits - 1)
    places = [(c // a_word, c % a_word * bits) for c in range(columns)]
    return [[(int(row[word]) >> bit) % 2**bits - half for word, bit in places] for row in words]


def test_words_by_hand():
    found = packed(np.int8([[-8, 7, 0], [1, 2, 3]]), 4)
    assert found.dtype == np.int32 and found.tolist() == [[0x8F0], [0xBA9]]
    assert packed(np.int8([[-128, 127, 0, 1, -1]]), 8).view(np.uint8).tolist() == [
        [0, 255, 128, 129, 127, 0, 0, 0]
    ]


@settings(deadline=None)
@given(st.sampled_from([4, 8]), st.integers(1, 5), st.integers(1, 20), st.integers(0, 99))
def test_words_hold_every_integer(bits, rows, columns, seed):
    half = 1 << bits - 1
    values = np.random.default_rng(seed).integers(-half, half, (rows, columns)).astype(np.int8)
    words = packed(values, bits)
    assert words.shape == (rows, -(-columns * bits // 32))
    assert numbers(words, bits, columns) == values.tolist()


def test_what_a_server_reads(here):
    leaf = grid((3, 64), (3, 2))
    bias = np.ones(3, "f")
    tree = {"fc.weight": leaf, "fc.bias": bias, "emb.weight": np.ones((5, 2), "f")}
    found, config, said = unpacked(tree)
    assert set(found) == {"fc.bias", "emb.weight"} | {
        f"fc.weight_{part}" for part in ("packed", "scale", "shape")
    }
    assert numbers(found["fc.weight_packed"], 4, 64) == leaf.values.tolist()
    assert found["fc.weight_scale"].tobytes() == leaf.scale.tobytes()
    assert found["fc.weight_shape"].tolist() == [3, 64]
    assert found["fc.bias"].tobytes() == bias.tobytes()
    assert config == {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {
                        **{"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group"},
                        **{"group_size": 32, "dynamic": False},
                    },
                    "input_activations": None,
                    "output_activations": None,
                }
            },
            "ignore": ["emb", "lm_head"],
            "kv_cache_scheme": None,
            "global_compression_ratio": None,
        }
    }
    assert "written dense, not on a grid: emb.weight" in said
    assert "--like adds that to the one of the network" in said


def test_scales_of_outputs_blocks_of_outputs_and_one_for_all(here):
    sides = {"each": (6, 1), "one": (1, 1), "blocks": (3, 1), "groups": (2, 4)}
    leaves = {f"{name}.weight": grid((6, 32), scales, 8) for name, scales in sides.items()}
    found, config, _ = unpacked(leaves)
    for name, leaf in leaves.items():
        scale = found[f"{name}_scale"]
        assert scale.shape == (6, 4 if name.startswith("groups") else 1)
        wide = np.repeat(scale, 32 // scale.shape[1], axis=1)
        values = np.float32(numbers(found[f"{name}_packed"], 8, 32))
        assert (values * wide).tobytes() == leaf.dense().tobytes()
    groups = config["quantization_config"]["config_groups"]
    assert {tuple(g["targets"]): g["weights"]["group_size"] for g in groups.values()} == {
        ("blocks", "each", "one"): None,
        ("groups",): 8,
    }


@pytest.mark.slow
def test_what_cannot_be_expressed_is_dense_and_named(here):
    dense = {
        "inputs.weight": grid((4, 8), (1, 8)),
        "uneven.weight": grid((4, 10), (4, 3)),
        "affine.weight": grid((4, 8), (4, 1), zero_point=np.ones((4, 1), np.int8)),
        "kernel": grid((4, 8), (4, 1)),
        "conv.weight": grid((4, 8, 3, 3), (4, 1, 1, 1)),
        "embed_tokens.weight": grid((4, 8), (4, 1)),
        "half.weight": np.ones((3, 4), np.float16),
    }
    found, config, said = unpacked(dense | {"fc.weight": grid((4, 8), (4, 1), 3)})
    for name, leaf in dense.items():
        wanted = leaf if isinstance(leaf, np.ndarray) else leaf.dense()
        assert found[name].tobytes() == wanted.tobytes() and name in said
    assert set(found) - set(dense) == {f"fc.weight_{part}" for part in ("packed", "scale", "shape")}
    assert config["quantization_config"]["ignore"] == sorted(
        ["inputs", "uneven", "affine", "embed_tokens", "half", "lm_head"]
    )
    assert config["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] == 4


def test_the_configuration_of_the_network_is_kept(here):
    Path("config.json").write_text('{"model_type": "llama", "hidden_size": 8}')
    tree = {"lm_head.weight": grid((4, 8), (4, 1))}
    _, config, said = unpacked(tree, "--like", "config.json", "--shard-size", "30")
    assert config["model_type"] == "llama" and not said
    assert config["quantization_config"]["ignore"] == []
    assert Path("m/model.safetensors.index.json").is_file()
    Path("m/config.json").replace("quantized.json")
    for content, status, message in (
        (
            Path("quantized.json").read_text(),
            2,
            "must be of dense weights, got quantization_config",
        ),
        ("[]", 3, "must be a JSON object"),
        ('{"a": 1, "a": 2}', 3, "a key is there twice"),
    ):
        Path("config.json").write_text(content)
        words = ("unpack", "m.npz", "-o", "n", "--compressed-tensors", "--like", "config.json")
        assert f"config.json: {message}" in refused(*words, status=status)
        assert not Path("n").exists()


def test_files_without_grids_are_refused(here):
    jc.save("m.npz", {"fc.weight": np.ones((3, 4), "f")})
    said = refused("unpack", "m.npz", "-o", "m", "--compressed-tensors")
    assert said.count("\n") == 1 and "m.npz: needs weights [out, in] of linear layers" in said
    assert "(fc.weight: not on a grid)" in said and not Path("m").exists()
    jc.save("m.npz", {"fc.weight": grid((3, 8), (3, 1)), "fc.weight_packed": np.ones(3)})
    assert "fc.weight_packed: a name must mean one tensor" in refused(
        "unpack", "m.npz", "-o", "m", "--compressed-tensors"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("bits", [3, 4, 6, 8])
@pytest.mark.parametrize("scales", [(24, 1), (1, 1), (24, 4)])
def test_the_library_reads_the_same_numbers(here, dtype, bits, scales):
    library = pytest.importorskip("compressed_tensors")
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    leaf = grid((24, 160), scales, bits, np.dtype(dtype))
    _, config, _ = unpacked({"fc.weight": leaf})
    found = load("m/model.safetensors")
    described = library.quantization.QuantizationConfig(**config["quantization_config"])
    (scheme,) = described.config_groups.values()
    state = {name.removeprefix("fc."): tensor for name, tensor in found.items()}
    compressor = library.compressors.base.BaseCompressor.load_from_registry(described.format)
    weight = compressor.decompress(state, scheme)["weight"]
    assert weight.dtype == getattr(torch, dtype)
    assert weight.float().numpy().tolist() == leaf.dense().astype("f").tolist()
    names = {name.removeprefix("fc.weight") for name in found}
    assert {f"weight{name}" for name in names} == {*compressor.compression_param_names(scheme)}
    if dtype == "float32":  # others round, and not back to the same integers
        state["weight"] = weight
        again = compressor.compress(state, scheme)
        assert all(again[name].equal(state[name]) for name in state if name != "weight")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [False, True])
def test_a_transformer_runs_on_it(here, tied):
    torch = pytest.importorskip("torch")
    pytest.importorskip("compressed_tensors")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    sizes = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = transformers.LlamaConfig(
        **sizes, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=tied
    )
    transformers.LlamaForCausalLM(config).save_pretrained("net")
    tree = {
        name: grid(
            array.shape, (array.shape[0], 2 if "mlp" in name else 1), 4 if "mlp" in name else 8
        )
        if array.ndim == 2 and "proj" in name
        else array
        for name, array in load_file("net/model.safetensors").items()
    }
    unpacked(tree, "--like", "net/config.json")
    run("unpack", "m.npz", "-o", "dense", "--shard-size", "9KB")
    Path("dense/config.json").write_bytes(Path("net/config.json").read_bytes())
    words = torch.arange(10)[None]
    with torch.no_grad():
        logits = [
            transformers.AutoModelForCausalLM.from_pretrained(folder)(words).logits
            for folder in ("m", "dense")
        ]
    assert logits[0].equal(logits[1]) and logits[0].isfinite().all()
