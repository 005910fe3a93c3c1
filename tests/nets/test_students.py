"""Students: within 5 % of any budget, even, buildable; what cannot be is said."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.families import FAMILIES, Family, build, sizes_of, with_sizes
from nets.lenet import LeNet300Config
from nets.students import parameter_count, student_for
from nets.text import TextEncoderConfig
from pipelines.models import MODELS, Shape


def config_of(model):
    known = MODELS[model]
    return known.config(Shape(10, min(known.image_sizes), known.branches[::4]))


@dataclass(frozen=True, kw_only=True)
class BlocksConfig:
    """As transformers have them."""

    classes: int = 10
    width: int = 96
    mlp: int = 384
    depth: int = 12
    heads: int = 6


class Blocks(nnx.Module):
    """The arrays of a transformer, as zeros: quick to count."""

    def __init__(self, config, *, rngs):
        del rngs
        assert config.width % config.heads == 0
        layer = ((config.width, config.width * 4), (config.width, 2 * config.mlp))
        shapes = [*layer * config.depth, (48 + config.classes, config.width)]
        self.arrays = nnx.List([nnx.Param(jnp.zeros(shape)) for shape in shapes])


@pytest.fixture(scope="module", autouse=True)
def blocks():
    with pytest.MonkeyPatch.context() as patch:
        multiples = {"width": "heads"}
        family = Family(Blocks, ("width", "mlp"), ("depth",), ("heads",), multiples)
        patch.setitem(FAMILIES, BlocksConfig, family)
        yield


def check(config, target):
    student = student_for(config, target)
    assert 0.95 * target <= parameter_count(student) <= target
    assert with_sizes(config, sizes_of(student)) == student  # none larger, and all that changed
    return student


LARGE = pytest.param("vit", marks=pytest.mark.slow)
SMALL = [name for name in MODELS if name not in ("cifar-wide", "vit")]


@pytest.mark.slow
@pytest.mark.parametrize("model", [*SMALL, LARGE])
def test_every_network_has_students(model):
    config = config_of(model)
    student = check(config, parameter_count(config) // 8)
    params, _ = jax.eval_shape(build(student).init, jax.random.key(0))
    found = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
    assert found == parameter_count(student)
    left = {n: v for n, v in vars(config).items() if n not in sizes_of(config)}
    assert {n: getattr(student, n) for n in left} == left


@settings(max_examples=8, deadline=None)
@given(st.floats(1.05, 250))
def test_any_budget_of_a_transformer(ratio):
    config = BlocksConfig()
    student = check(config, int(parameter_count(config) / ratio))
    assert student.width % student.heads == 0
    # Depth and the square of the width shrink alike.
    assert student.depth == max(round(12 * ratio ** (-1 / 3)), 1)
    assert student.heads == max(round(6 * ratio ** (-1 / 3)), 1)
    assert student.mlp == pytest.approx(4 * student.width, rel=0.5, abs=8)


def test_a_budget_between_two_widths_names_the_nearest():
    """Widths are multiples of six heads: the next one takes 9 % of the parameters."""
    config = BlocksConfig()
    with pytest.raises(ValueError, match=r"within 5% of 1,292,288; the nearest has 1,214,820"):
        student_for(config, int(parameter_count(config) / 1.03125))


@pytest.mark.slow
def test_a_network_that_reads_has_students():
    config = TextEncoderConfig(vocabulary=300, positions=16, width=64, depth=4, heads=4, hidden=128)
    student = check(config, parameter_count(config) // 8)
    assert (student.vocabulary, student.positions) == (300, 16)
    assert student.depth == 2 and student.width % student.heads == 0


@pytest.mark.slow
def test_the_whole_and_the_smallest():
    config = LeNet300Config()
    assert student_for(config, 266_610) == student_for(config, np.int64(266_610)) == config
    smallest = 784 + 1 + 1 + 1 + 10 + 10
    assert student_for(config, smallest).widths == (1, 1)
    with pytest.raises(ValueError, match="at least 807, of the smallest network .* got 806"):
        student_for(config, smallest - 1)
    with pytest.raises(ValueError, match="at most the 266,610 of the network, got 266,611"):
        student_for(config, 266_611)
    for target in (0, -5):
        with pytest.raises(ValueError, match="at least 807"):
            student_for(config, target)
    with pytest.raises(ValueError, match="found no network of .* within 5% of 1,500; the nearest"):
        student_for(config, 1500)  # one unit of the first layer has 785
    for target in (3e4, True, "30000", None):
        with pytest.raises(TypeError, match="must be a whole number"):
            student_for(config, target)


def test_widths_in_a_file_must_be_multiples_of_the_heads():
    with pytest.raises(ValueError, match="width: must be a multiple of heads, 5, got 96"):
        with_sizes(BlocksConfig(), {"heads": 5})
    assert with_sizes(BlocksConfig(), {"heads": 5, "width": 95}).width == 95
