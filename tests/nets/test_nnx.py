"""NNX modules at the sizes of their arrays, counted by hand."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcompress.errors import MissingLibraryError
from jaxcompress.nnx import follow_arrays, functional


def cut(module, **shapes):
    """Return the module with the first entries of its arrays, as many as `shapes` say by path."""
    graph, state = nnx.split(module)
    changed = []
    for path, leaf in nnx.to_flat_state(state):
        shape = shapes.pop("_".join(map(str, path)), leaf[...].shape)
        changed.append((path, leaf.replace(leaf[...][tuple(map(slice, shape))])))
    assert not shapes
    return nnx.merge(graph, nnx.from_flat_state(changed))


@pytest.mark.slow
def test_a_convolution_with_one_channel_a_group_loses_groups():
    layer = nnx.Conv(4, 8, (3,), feature_group_count=4, rngs=nnx.Rngs(0))
    small = cut(layer, kernel=(3, 1, 6), bias=(6,))
    follow_arrays(small)
    assert (small.feature_group_count, small.in_features, small.out_features) == (3, 3, 6)
    assert small.kernel_shape == (3, 1, 6)
    x = np.random.default_rng(0).normal(size=(1, 5, 4)).astype("f")
    np.testing.assert_allclose(small(x[..., :3]), layer(x)[..., :6], rtol=1e-5, atol=1e-6)


def test_other_grouped_convolutions_keep_the_number_of_groups():
    layer = nnx.Conv(8, 12, (3,), feature_group_count=2, rngs=nnx.Rngs(0))
    small = cut(layer, kernel=(3, 3, 10), bias=(10,))
    follow_arrays(small)
    assert (small.feature_group_count, small.in_features, small.out_features) == (2, 6, 10)


@pytest.mark.slow
def test_attention_counts_its_heads_and_their_width():
    layer = nnx.MultiHeadAttention(3, 12, decode=False, rngs=nnx.Rngs(0))
    kept = {f"{part}_kernel": (12, 2, 3) for part in ("query", "key", "value")}
    kept |= {f"{part}_bias": (2, 3) for part in ("query", "key", "value")}
    small = cut(layer, **kept, out_kernel=(2, 3, 12))
    follow_arrays(small)
    assert (small.num_heads, small.head_dim, small.qkv_features) == (2, 3, 6)
    assert (small.in_features, small.out_features) == (12, 12)
    assert small.query.out_features == (2, 3) and small.out.in_features == (2, 3)
    assert small(np.ones((1, 4, 12), "f")).shape == (1, 4, 12)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (nnx.LSTMCell, "hi"),
        (nnx.OptimizedLSTMCell, "dense_h"),
        (nnx.GRUCell, "dense_h"),
        (nnx.SimpleCell, "dense_h"),
    ],
)
def test_recurrent_cells_count_the_rows_of_what_is_hidden(kind, part):
    layer = kind(3, 8, rngs=nnx.Rngs(0))
    small = cut(layer, **{f"{part}_kernel": (5, getattr(layer, part).kernel.shape[1])})
    follow_arrays(small)
    assert layer.hidden_features == 8 and small.hidden_features == 5


@pytest.mark.slow
def test_layers_inside_of_others_follow():
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(2, 6, rngs=rngs), nnx.GroupNorm(6, 3, rngs=rngs))
    of_norm = {"layers_1_scale": (3,), "layers_1_bias": (3,)}
    small = cut(model, layers_0_kernel=(2, 3), layers_0_bias=(3,), **of_norm)
    follow_arrays(small)
    assert (small.layers[1].num_features, small.layers[1].group_size) == (3, 1)
    assert small(jnp.ones((4, 2))).shape == (4, 3)


class Adding(nnx.Module):
    """Adds each of its numbers to x."""

    def __init__(self):
        self.blocks = nnx.List([nnx.Dict(number=nnx.Param(jnp.float32(10**k))) for k in range(3)])

    def __call__(self, x):
        for block in self.blocks:
            x = x + block["number"][...]
        return x


@pytest.mark.parametrize(("numbers", "total"), [([0, 1, 2], 111), ([0, 1], 11), ([0], 1)])
def test_a_list_is_as_long_as_its_parameters(numbers, total):
    net = functional(lambda rngs: Adding())
    params, stats = net.init(jax.random.key(0))
    shorter = {"blocks": {number: params["blocks"][number] for number in numbers}}
    assert net.apply(shorter, stats, jnp.zeros(2)).tolist() == [total, total]


def test_training_changes_statistics_and_evaluation_does_not():
    net = functional(lambda rngs: nnx.BatchNorm(1, momentum=0.5, rngs=rngs))
    params, stats = net.init(jax.random.key(0))
    x = jnp.array([[1.0], [3.0]])
    normed, changed = net.apply_training(params, stats, x)
    np.testing.assert_allclose(normed, [[-1.0], [1.0]], rtol=1e-4)
    assert changed["mean"].tolist() == [1.0] and changed["var"].tolist() == [1.0]
    np.testing.assert_allclose(net.apply(params, changed, x), [[0.0], [2.0]], rtol=1e-4)
    assert stats["mean"].tolist() == [0.0]


@pytest.mark.parametrize("call", [follow_arrays, functional])
def test_without_flax_the_extra_is_named(call, monkeypatch):
    for name in ("flax", "flax.nnx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'jaxcompress\[flax\]'") as error:
        call(None)
    assert str(error.value).startswith(f"{call.__name__}: needs flax, ")
