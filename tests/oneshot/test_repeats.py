"""Tensors of a source that are equal to the bit: found by samples, and packed once."""

import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.oneshot.outcomes import SAME_AS
from jaxcompress.oneshot.rules import Rule, Treatments
from jaxcompress.oneshot.sources import SAMPLE_BYTES, Selection, TreeSource
from jaxcompress.oneshot.stream import exactly, prune
from jaxcompress.oneshot.ways import Treatment

RNG = np.random.default_rng(0)
USUAL = Treatment(way="relative", value=0.25)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


WIDE = normal(64, 48)
TIED = {"head": WIDE, "other": normal(64, 48), "wte": WIDE.copy()}


class Counted(TreeSource):
    """Counts what is sampled and loaded."""

    def __init__(self, tree):
        super().__init__(tree)
        self.sampled, self.loaded = [], []

    def sample(self, index):
        self.sampled.append(self.paths[index])
        return self.leaves[index].tobytes()[:8]

    def load(self, index):
        self.loaded.append(self.paths[index])
        return super().load(index)


class Plain(TreeSource):
    """A source without samples."""

    sample = None


def test_what_has_no_equal_shape_is_not_read_and_what_differs_at_once_not_loaded():
    late = WIDE.copy()
    late[-1, -1] += 1
    source = Counted(TIED | {"alone": normal(9, 9), "late": late, "small": np.ones((3, 3), "f")})
    assert exactly(source).repeats == {source.paths.index("wte"): source.paths.index("head")}
    assert source.sampled == ["head", "late", "other", "wte"]
    assert source.loaded == ["head", "late", "wte"]


def test_without_a_method_of_the_source_the_first_bytes_are_the_sample():
    equal = np.zeros((SAMPLE_BYTES // 4, 2), np.float32)
    late = equal.copy()
    late[-1, 0] = 1
    tree = {"a": equal, "b": late, "c": equal.copy(), "d": equal.astype(np.int32)}
    assert exactly(Plain(tree)).repeats == exactly(TreeSource(tree)).repeats == {2: 0}
    assert exactly(Selection(TreeSource(tree), lambda path: path != "a")).repeats == {}


def test_tensors_of_other_treatments_are_not_the_same():
    source = TreeSource(TIED)

    def repeats(*rules):
        return prune(source, 0.0, treatments=Treatments(USUAL, rules)).repeats

    assert repeats() == {2: 0}
    assert repeats(Rule("head", None)) == repeats(Rule("wte", {"way": "grid", "value": 4})) == {}
    assert repeats(Rule("head", None), Rule("wte", None)) == {2: 0}
    assert repeats(Rule("*", {"way": "grid", "value": 4})) == {2: 0}
    assert prune(source, 0.0, scope=lambda path, leaf: path == "wte").repeats == {}


def test_they_count_once_among_the_weights_that_are_removed():
    pruning = prune(TreeSource(TIED), 0.5)
    left = [np.count_nonzero(pruning.pruned(n)) for n in pruning.chosen]
    assert pruning.chosen == [0, 1] and sum(left) == WIDE.size


def test_their_outcome_names_the_first_one():
    outcomes = []
    leaves = dict(prune(TreeSource(TIED), 0.0).all_leaves(Treatments(USUAL), outcomes))
    assert leaves["wte"].tensor == 0
    (found,) = [outcome for outcome in outcomes if outcome.path == "wte"]
    assert found == ("wte", WIDE.size, f"{SAME_AS}head", 0.0, 0.0, 0)


@pytest.mark.parametrize("options", [{}, {"clusters": 8}, {"target_bytes": 3500}])
def test_compress_gives_one_object_and_save_stores_it_once(tmp_path, options):
    small = jc.compress(TIED, **options)
    assert small["head"] is small["wte"] and small["other"] is not small["wte"]
    size = jc.save(tmp_path / "m.npz", small)
    assert size <= options.get("target_bytes", size)
    without = {path: leaf for path, leaf in small.items() if path != "head"}
    assert size < jc.save(tmp_path / "n.npz", without) + 250
    np.testing.assert_array_equal(jc.load(tmp_path / "m.npz")["wte"], jc.dense(small)["head"])


def test_leaves_that_are_kept_stay_the_objects_that_they_were():
    params = TIED | {"bias": np.ones(100, "f"), "scale": np.ones(100, "f")}
    small = jc.compress(params)
    assert small["bias"] is params["bias"] and small["scale"] is params["scale"]
    holes = WIDE.copy()
    holes[0, 0] = np.nan
    with pytest.warns(UserWarning, match="a: must be finite to be compressed"):
        small = jc.compress({"a": holes, "b": holes.copy(), "c": WIDE})
    assert small["a"] is holes and np.isnan(small["b"]).sum() == 1 and small["b"] is not holes
