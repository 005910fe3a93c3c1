"""The networks: sizes as published, pure functions, statistics that train."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcompress.nnx import functional
from nets.layers import max_pool_2x2
from pipelines.models import MODELS, Shape

PARAMETERS = {
    "cifar": 288_170,
    "cifar-wide": 2_150_466,
    "lenet-300-100": 266_610,
    "lenet-5": 431_080,
    "fruits": 2_139_739,
    "resnet20": 272_474,
    "resnet18": 11_181_642,
    "vit": 415_946,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters_and_shape_of_logits(name):
    model = MODELS[name]
    classes = 131 if name == "fruits" else 10
    size = model.image_sizes[0]
    net = model.build(Shape(classes, size, model.branches))
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
    inputs = model.inputs(np.zeros((3, 50, 50, 3), np.uint8), size)
    logits = jax.eval_shape(lambda p, s, x: net.apply(p, s, model.view(x)), params, stats, inputs)
    assert logits.shape == (3, classes)


def test_every_model_is_listed():
    assert PARAMETERS.keys() == MODELS.keys()


def fusion(image_size, branches):
    model = MODELS["fruits"]
    net = model.build(Shape(5, image_size, branches))
    inputs = model.inputs(np.zeros((2, 100, 100, 3), np.uint8), image_size)
    params, stats = jax.eval_shape(net.init, jax.random.key(0))
    logits = jax.eval_shape(lambda p, s, x: net.apply(p, s, model.view(x)), params, stats, inputs)
    assert logits.shape == (2, 5)
    return params, stats


def test_branches_that_are_left_out_have_no_parameters():
    """Inputs of theirs are there all the same, and are ignored."""
    params, stats = fusion(48, ("shape", "edges"))
    assert params.keys() == {"edges", "shape", "fuse", "classify"}
    assert stats.keys() == {"edges", "shape"}
    assert params["fuse"]["kernel"].shape == (6 * 6 * 64 + 64, 288)


@pytest.mark.slow
@pytest.mark.parametrize(("image_size", "fused"), [(16, 2 * 2), (96, 12 * 12)])
def test_other_image_sizes(image_size, fused):
    params, _ = fusion(image_size, ("picture", "texture", "edges", "shape", "colour"))
    assert params["fuse"]["kernel"].shape == (3 * fused * 64 + 2 * 64, 288)


def test_max_pool_equals_reduce_window():
    x = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
    expected = nnx.max_pool(x, (2, 2), (2, 2))
    np.testing.assert_array_equal(max_pool_2x2(x), expected)


def test_views_by_hand():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    images[0, 2, 2] = [0, 255, 255]
    assert MODELS["cifar"].view(jnp.asarray(images))[0, 2, 2].tolist() == [-1.0, 1.0, 1.0]
    grey = MODELS["lenet-5"].view(jnp.asarray(images))
    assert grey.shape == (1, 28, 28, 1)
    assert grey[0, 0, 0, 0] == pytest.approx(2 / 3)


class Normed(nnx.Module):
    def __init__(self, *, rngs):
        self.dense = nnx.Linear(4, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, momentum=0.5, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.dense(x))


@pytest.mark.slow
def test_running_statistics_are_threaded_through():
    net = functional(lambda rngs: Normed(rngs=rngs))
    params, stats = net.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (16, 4))
    logits, changed = jax.jit(net.apply_training)(params, stats, x)
    hidden = x @ params["dense"]["kernel"] + params["dense"]["bias"]
    np.testing.assert_allclose(changed["norm"]["mean"], 0.5 * hidden.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logits.mean(0), np.zeros(3), atol=1e-5)
    evaluated = net.apply(params, changed, x)
    spread = np.sqrt(changed["norm"]["var"] + 1e-5)
    expected = (hidden - changed["norm"]["mean"]) / spread
    np.testing.assert_allclose(evaluated, expected, rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(changed) == jax.tree.structure(stats)


def test_init_depends_on_the_key_alone():
    net = MODELS["lenet-300-100"].build(Shape(10, 32))
    first, again, other = (net.init(jax.random.key(seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["dense1"]["kernel"], again["dense1"]["kernel"])
    assert not np.array_equal(first["dense1"]["kernel"], other["dense1"]["kernel"])
