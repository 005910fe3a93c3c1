"""The text encoder computes what BERT does, and goes through every way of compressing it."""

import jax
import numpy as np
import pytest

import jaxcompress as jc
from benchmarks.minilm import bert
from jaxcompress.nnx import functional
from nets.bert import from_bert
from nets.text import TextEncoder

TOKENS = np.array([[3, 4, 5, 9, 0, 0], [6, 7, 8, 2, 1, 3]])
HEADS = 3


def checkpoint(random, layers=2, width=12, hidden=20):
    """Tensors as they are published, of a tiny BERT."""
    shapes = {
        "embeddings.word_embeddings.weight": (10, width),
        "embeddings.position_embeddings.weight": (8, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "pooler.dense.weight": (width, width),
    }
    norms, sizes = ["embeddings.LayerNorm"], {}
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            sizes[f"{at}.attention.{name}"] = (width, width)
        sizes[f"{at}.intermediate.dense"] = (hidden, width)
        sizes[f"{at}.output.dense"] = (width, hidden)
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name, shape in sizes.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def network():
    """Tensors, parameters and function of a tiny BERT."""
    tensors = checkpoint(np.random.default_rng(0))
    config, params = from_bert(tensors, heads=HEADS)
    net = functional(lambda rngs: TextEncoder(config, rngs=rngs))
    return tensors, params, lambda params, tokens: net.apply(params, {}, tokens)


def test_embeddings_are_those_of_bert(network):
    tensors, params, apply = network
    texts = [[token for token in row if token] for row in TOKENS]
    expected = bert.embeddings(tensors, texts, heads=HEADS)
    found = np.asarray(jax.jit(apply)(params, TOKENS))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found / lengths, expected, atol=1e-5)


def test_any_prefix_of_the_names_will_do(network):
    tensors, params, _ = network
    _, again = from_bert({f"bert.{name}": tensor for name, tensor in tensors.items()}, heads=HEADS)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def without(part):
    return lambda tensors: {name: t for name, t in tensors.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "heads", "said"),
    [
        (lambda tensors: {"weight": np.ones(3)}, 3, "hold embeddings.word_embeddings.weight, got"),
        (lambda tensors: {}, 3, "embeddings.word_embeddings.weight, got none"),
        (without("layer.0"), 3, "must hold encoder.layer.0.attention.self.query.weight, got"),
        (without("embeddings.token_type"), 3, "must hold embeddings.token_type_embeddings.weight"),
        (without("layer.1.attention.self.key"), 3, "must hold encoder.layer.1.attention.self.key"),
        (lambda tensors: tensors, 5, "must divide the width of 12, got 5"),
        (lambda tensors: tensors, 0, "must divide the width of 12, got 0"),
    ],
)
def test_what_is_no_bert_is_refused(network, change, heads, said):
    with pytest.raises(ValueError, match=said):
        from_bert(change(network[0]), heads=heads)


@pytest.mark.slow
def test_padding_changes_nothing(network):
    _, params, apply = network
    long = np.asarray(apply(params, TOKENS[:1]))
    np.testing.assert_allclose(apply(params, TOKENS[:1, :4]), long, atol=1e-5)


def test_texts_longer_than_the_positions_are_refused(network):
    _, params, apply = network
    with pytest.raises(ValueError, match="tokens: must be at most 8 a text, .* got 9; cut texts"):
        jax.eval_shape(apply, params, np.ones((1, 9), int))


@pytest.mark.slow
def test_heads_and_hidden_units_are_found_and_cut(network):
    _, params, apply = network
    groups = jc.unit_groups(apply, params, TOKENS)
    assert [group.size for group in groups.groups] == 2 * [HEADS, 4, 20]
    share = {group.name: 0.5 for group in groups.groups if group.size in (HEADS, 20)}
    keep = jc.choose_units(params, groups, remove=share)
    assert jc.check_shrink(apply, params, groups, keep, TOKENS) < 1e-5
    small = jc.shrink(params, groups, keep)
    assert small["blocks"][0]["dense1"]["kernel"].shape[1] < 20
    assert apply(small, TOKENS).shape == (2, 12)


@pytest.mark.slow
def test_it_runs_on_integers_whose_rounding_is_fitted(network, tmp_path):
    _, params, apply = network
    moments = jc.quantization.input_moments(apply, params, [TOKENS])
    assert len(moments.layers) == 2 * 6
    small = jc.fit_rounding(params, jc.quantize(params, 6), moments)
    jc.save(tmp_path / "small.npz", small)
    loaded = jc.load(tmp_path / "small.npz")
    exact = np.asarray(apply(params, TOKENS))
    np.testing.assert_allclose(jc.execute(apply)(small, TOKENS), apply(loaded, TOKENS), atol=1e-5)
    assert 0 < np.abs(np.asarray(apply(loaded, TOKENS)) - exact).max() < 0.5 * np.abs(exact).max()
