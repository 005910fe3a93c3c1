"""Rounding on an example: judged on rows that it has not seen, zeros stay, sizes are told."""

import dataclasses

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.leaves import Clustered, Quantized
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.packing import block
from jaxcompress.planner._building import built, shares_of, surveyed
from jaxcompress.planner._damage import of_outputs
from jaxcompress.planner._prediction import predicted_drop
from jaxcompress.planner._record import Anchor
from jaxcompress.planner._refining import refining
from jaxcompress.planner._rows import inputs_of, rows_of
from jaxcompress.quantization import relative_error
from tests.planner.conftest import BATCHES, HELD_X, LABELS, apply


@pytest.fixture(scope="module")
def untrained(task):
    """Of few rows: as many as the layer has inputs, half of which decide the rounding."""
    return dataclasses.replace(task, loss=None, train=None, example=(task.example[0][:16],))


def dense_damage(task, tree, x):
    exact, found = (np.asarray(apply(p, x)) for p in (task.params, jc.dense(tree)))
    return float(np.sum((found - exact) ** 2) / np.sum(exact**2))


def test_damages_are_those_of_rows_that_the_rounding_has_not_seen(untrained):
    refine = refining(untrained, apply, untrained.params)
    np.testing.assert_array_equal(refine.judged[0], untrained.example[0][1::2])
    path, settings = "mid/kernel", {"mid/kernel": {"step_size": 1.4}}
    tree = built(untrained.params, settings, refine=refine.compared)
    measured = of_outputs(apply, untrained.params, refine.judged, relative_error)(
        path, tree["mid"]["kernel"]
    )
    seen = dense_damage(untrained, tree, untrained.example[0][::2])
    unseen = dense_damage(untrained, tree, HELD_X)
    assert seen < unseen and abs(measured - unseen) < abs(seen - unseen)


def test_rounding_on_an_example_does_less_damage(untrained):
    refine = refining(untrained, apply, untrained.params)
    settings = dict.fromkeys(("in/kernel", "mid/kernel", "out/kernel"), {"step_size": 1.0})
    trees = [built(untrained.params, settings, refine=r) for r in (refine.full, refine.compared)]
    plain = dense_damage(untrained, built(untrained.params, settings), HELD_X)
    assert all(dense_damage(untrained, tree, HELD_X) < plain for tree in trees)


@pytest.mark.parametrize(("settings", "kind"), [({}, Quantized), ({"clusters": 8}, Clustered)])
def test_pruned_weights_stay_zero(untrained, settings, kind):
    settings = {"mid/kernel": {"sparsity": 0.5} | (settings or {"step_size": 0.1})}
    refine = refining(untrained, apply, untrained.params)
    plain, fitted = (
        built(untrained.params, settings, refine=r)["mid"]["kernel"]
        for r in (lambda path, leaf, is_pruned=False: leaf, refine.full)
    )
    assert isinstance(fitted, kind)
    kept = np.asarray(fitted.dense()) != 0
    assert kept.mean() <= 0.5 and not (kept & (np.asarray(plain.dense()) == 0)).any()
    assert (np.asarray(fitted.dense()) != np.asarray(plain.dense())).any()


@pytest.mark.parametrize(
    ("example", "rows"),
    [((np.ones((4, 3)), np.ones((4, 1))), 4), ((np.ones((4, 3)), np.ones((2, 1))), None)],
)
def test_rows_are_told_where_all_inputs_have_as_many(example, rows):
    def call(params, *inputs):
        return params + inputs[0]

    assert rows_of(call, 0.0, example) == rows
    assert rows_of(call, 0.0, (np.float32(1),)) is None
    assert rows_of(call, 0.0, (np.ones((1, 3)),)) == 1
    assert rows_of(lambda params, x: x.sum(0), 0.0, (np.ones((2, 3)),)) is None


def test_rounding_is_fitted_to_batches_without_a_loss(untrained):
    more = dataclasses.replace(untrained, train=[(batch,) for batch, _ in BATCHES])
    settings = dict.fromkeys(("in/kernel", "mid/kernel", "out/kernel"), {"step_size": 1.0})
    few, many = (
        dense_damage(task, built(task.params, settings, refine=refine.full), HELD_X)
        for task in (untrained, more)
        for refine in [refining(task, apply, task.params)]
    )
    assert many < 0.95 * few
    assert refining(more, apply, more.params).judged == untrained.example


def test_batches_that_do_not_begin_with_inputs_are_refused(untrained):
    labels = dataclasses.replace(untrained, train=[LABELS[:8]])
    with pytest.raises(ValueError, match="^train: must hold batches that begin with inputs"):
        refining(labels, apply, labels.params)


def test_inputs_may_have_other_lengths(untrained):
    words = dataclasses.replace(untrained, example=(np.ones((4, 7), np.int32),))
    assert inputs_of(words, (np.ones((2, 9), np.int32), np.ones(2)))[0].shape == (2, 9)
    assert inputs_of(words, (np.ones((2, 9), np.float32),)) is None
    assert inputs_of(words, np.ones(2, np.int32)) is None


def test_an_example_of_one_row_fits_and_judges(untrained):
    single = dataclasses.replace(untrained, example=(untrained.example[0][:1],))
    refine = refining(single, apply, single.params)
    assert refine.judged is not None and len(refine.judged[0]) == 1
    leaf = built(single.params, {"mid/kernel": {"step_size": 1.0}}, refine=refine.full)
    assert isinstance(leaf["mid"]["kernel"], Quantized)


@pytest.mark.parametrize("settings", [{"step_size": 1.0}, {"bits": 4}, {"clusters": 16}])
def test_estimated_sizes_are_those_of_files(settings):
    random = np.random.default_rng(0)
    tree = {name: random.standard_normal((200, 300)).astype(np.float32) for name in "ab"}
    tree["b"] *= np.abs(random.standard_normal(300)).astype(np.float32)
    found = surveyed(TreeSource(tree))
    all_alike = dict.fromkeys(tree, settings)
    sizes = []
    for coder in (block.encoded, block.estimated):
        leaves = found.made(found.planned(all_alike), all_alike, [])
        sizes.append(shares_of(found.source, leaves, coder=coder))
    (real, other), (told, beside) = sizes
    assert told == pytest.approx(real, rel=0.005) and beside == pytest.approx(other, abs=30)
    assert sum(real.values()) + other == jc.size_bytes(built(tree, all_alike))


def test_sizes_lie_between_files_that_were_made(profile):
    whole = profile.networks[0]._replace(
        anchors=[
            Anchor(1000.0, 1100.0, 2.0, None),
            Anchor(2000.0, 2050.0, 1.0, 3.0),
            Anchor(2100.0, 2040.0, 0.5, 1.0),  # larger parts in a smaller file
        ]
    )
    assert whole.file_bytes(1525) == 1572.5 and whole.added_bytes(1572.5) == 1525
    assert whole.file_bytes(500) == 600 and whole.file_bytes(9000) == 8995
    assert whole.losses == [(1.0, 3.0), (0.5, 1.0)]
    more = whole.with_more(10)
    assert more.file_bytes(1535) == 1582.5 and more.beside_bytes == whole.beside_bytes + 10
    assert whole._replace(anchors=[]).file_bytes(700) == 700


def test_one_bad_plan_does_not_move_the_others():
    anchors = [(0.0, 0.0), (1.0, 1.0), (2.0, 9.0), (4.0, 2.0), (9.0, 3.0)]
    assert predicted_drop(anchors, 0.0, 9.0).drop == 3.0
