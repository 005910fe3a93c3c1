"""Techniques on trees of sharded arrays: `python -m tests.helpers.sharded`.

It needs eight devices: `XLA_FLAGS=--xla_force_host_platform_device_count=8`. It compares every
technique in every layout on 1, 2 and 8 devices with one device, and prints the faults as JSON.
"""

import inspect
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxcompress as jc
from tests.helpers import levels
from tests.helpers.fetches import small_parts, watched
from tests.helpers.layouts import DEVICES, LAYOUTS, Layout, Net, apply, net_of, places_of


def trained(make: Callable[[Net], Any], start: Callable[[Net], Any] = lambda one: one.params):
    """Return two compiled steps of a transform."""

    def run(net: Net, one: Net) -> Any:
        places = jax.tree.map(lambda leaf: leaf.sharding, net.params)
        params, tx = jax.device_put(start(one), places), make(one)
        state = tx.init(params)

        def step(params: Any, state: Any) -> tuple[Any, Any]:
            gradients = jax.tree.map(lambda leaf: jnp.round(8 * leaf), params)
            updates, state = tx.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        compiled = jax.jit(step, in_shardings=(places, None), out_shardings=(places, None))
        for _ in range(2):
            params, state = compiled(params, state)
        return params

    return run


def masked(one: Net) -> Any:
    return jc.magnitude_mask(one.params, 0.5)


def shared(one: Net) -> Any:
    return jc.kmeans(one.params, 4)


def cut(net: Net, one: Net) -> Any:
    groups = jc.unit_groups(apply, one.params, one.x)
    return jc.shrink(net.params, groups, jc.choose_units(one.params, groups, remove=0.3))


def calibrated(net: Net, one: Net) -> Any:
    """Return counts of integers, whose sums are exact in any order."""
    whole = Net(jax.tree.map(lambda leaf: jnp.trunc(3 * leaf), net.params), jnp.round(net.x))
    ranges = jc.quantization.calibrate(apply, whole.params, [whole.x, whole.x])
    return {n: (h.counts, h.zeros, h.exponent, h.low, h.high) for n, h in ranges.items()}


def second_moments(net: Net, one: Net) -> Any:
    found = jc.quantization.input_moments(apply, net.params, [net.x, net.x])
    return {path: [layer.gram for layer in layers] for path, layers in found.layers.items()}


def aware(net: Net, one: Net) -> Any:
    made = jc.quantization_aware(apply, jc.quantization.calibrate(apply, one.params, [one.x]))
    trainable = made.init(net.params, net.x)
    slopes = jax.jit(jax.grad(lambda t, x: jnp.sum(made.apply(t, x) ** 2)))(trainable, net.x)
    slopes = jax.device_put(slopes["params"], jax.tree.map(lambda p: p.sharding, net.params))
    return {"exact": made.quantize(trainable), "sums": slopes}


def distilled(net: Net, one: Net) -> Any:
    def loss(params: Any, x: jax.Array) -> Any:
        student = apply(params, x)
        labels = jnp.arange(len(x)) % student.shape[-1]
        return jc.distillation_loss(student, jnp.sin(student), labels, temperature=2.0)

    places = jax.tree.map(lambda leaf: leaf.sharding, net)
    slopes = jax.jit(jax.grad(loss), in_shardings=tuple(places), out_shardings=places.params)
    return slopes(net.params, net.x)


def compressed(net: Net) -> Any:
    """Return small weights on the devices of the net, and its batch."""
    small = jc.quantize(net.params, scope=jc.scopes.matching("blocks|out"))
    small["in"] = jc.kmeans(net.params["in"], 4)
    return small, jc.low_rank(net.params, keep=0.5), net.x


def executed(given: Any, one: Net) -> Any:
    del one
    small, thin, x = given
    run = jax.jit(jc.execute(apply))
    return run(small, x), run(thin, x)


class Row(NamedTuple):
    """One technique.

    Attributes:
        run: from a net, and the same on one device, to a tree of arrays.
        says: the function whose docstring says what is gathered.
        most: what is on the host at once: none, one or all of the weights, or the results.
        sums: the paths whose numbers are sums, equal to 1e-6 of the largest; others to the bit.
        mirrors: whether leaves at paths of weights lie as these.
        jits: whether all of it is compiled too, with shardings of inputs and outputs.
        given: from a net to what `run` takes in its place.
    """

    run: Callable[[Any, Net], Any]
    says: Callable[..., Any]
    most: str = "none"
    sums: str = "^$"
    mirrors: bool = True
    jits: bool = False
    given: Callable[[Net], Any] = lambda net: net


ROWS = {
    "magnitude_mask": Row(
        lambda n, _: jc.magnitude_mask(n.params, 0.5), jc.magnitude_mask, "all", jits=True
    ),
    "layerwise_mask": Row(
        lambda n, _: jc.layerwise_mask(n.params, 0.5), jc.layerwise_mask, "all", jits=True
    ),
    "prune.random_mask": Row(
        lambda n, _: jc.prune.random_mask(n.params, 0.5, key=jax.random.key(1)),
        jc.prune.random_mask,
        "all",
        jits=True,
    ),
    "prune.nm_mask": Row(
        lambda n, _: jc.prune.nm_mask(n.params, 1, 2, scope=jc.scopes.matching("kernel")),
        jc.prune.nm_mask,
        "all",
        jits=True,
    ),
    "apply_mask": Row(lambda n, one: jc.apply_mask(n.params, masked(one)), jc.apply_mask),
    "hold_mask": Row(
        trained(lambda n: optax.chain(optax.sgd(0.25), jc.hold_mask(masked(n)))), jc.hold_mask
    ),
    "gradual_pruning": Row(
        trained(lambda n: optax.chain(optax.sgd(0.25), jc.gradual_pruning(0.5, begin=0, end=1))),
        jc.gradual_pruning,
    ),
    "share_centroids": Row(
        trained(
            lambda n: jc.share_centroids(optax.sgd(0.25), shared(n)), lambda n: jc.dense(shared(n))
        ),
        jc.share_centroids,
        "one",
        sums=".",
    ),
    "kmeans": Row(lambda n, _: jc.kmeans(n.params, 4), jc.kmeans, "one"),
    "uniform": Row(lambda n, _: jc.uniform(n.params, 0.3), jc.uniform, "one"),
    "entropy_constrained": Row(
        lambda n, _: jc.entropy_constrained(n.params, 0.003), jc.entropy_constrained, "one"
    ),
    "quantize": Row(lambda n, _: jc.quantize(n.params, 4, symmetric=False), jc.quantize, "one"),
    "quantization_aware": Row(aware, jc.quantization_aware, "one", sums="sums"),
    "quantization.fit_levels": Row(levels.fitted, jc.quantization.fit_levels, "one"),
    "quantization.rate_aware": Row(levels.rated, jc.quantization.rate_aware, "one"),
    "calibrate": Row(calibrated, jc.calibrate, "results", mirrors=False),
    "quantization.input_moments": Row(
        second_moments, jc.quantization.input_moments, "results", sums=".", mirrors=False
    ),
    "low_rank": Row(
        lambda n, _: jc.low_rank(n.params, keep=0.5), jc.low_rank, "all", mirrors=False
    ),
    "shrink": Row(cut, jc.shrink),
    "drop_blocks": Row(
        lambda n, _: jc.drop_blocks(n.params, "blocks", keep=[0, 2]), jc.drop_blocks
    ),
    "distillation_loss": Row(distilled, jc.distillation_loss, sums="."),
    "execute": Row(executed, jc.execute, sums=".", mirrors=False, given=compressed),
}


def gathers(function: Callable[..., Any]) -> str:
    """Return what the docstring of a function says that is gathered."""
    found = re.search(r"Gathered to the host: (.*?\.)\n\n", inspect.getdoc(function) or "", re.S)
    return " ".join(found[1].split()) if found else ""


def table() -> str:
    """Return the table of the docs, and what its layouts are."""
    heads = ["technique", *LAYOUTS, "equal", "gathered to the host"]
    lines = [heads, ["---"] * len(heads)]
    for name, row in ROWS.items():
        cells = [", ".join(map(str, DEVICES))] * len(LAYOUTS)
        equal = {"^$": "to the bit", ".": "to 1e-6"}.get(row.sums, "to the bit, gradients to 1e-6")
        lines.append([f"`{name}`", *cells, equal, gathers(row.says).removesuffix(".")])
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return rows + "\n" + "".join(f"- {name}: {one.says}.\n" for name, one in LAYOUTS.items())


def check(row: Row, net: Net, got: Any, expected: Any) -> None:
    """Compare a result with that of one device, and its places with those of the weights."""
    found = jax.tree_util.tree_leaves_with_path(got)
    weights = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(net.params)
    }
    for (keys, leaf), other in zip(found, jax.tree.leaves(expected), strict=True):
        path, new, old = jax.tree_util.keystr(keys), np.asarray(leaf), np.asarray(other)
        assert new.shape == old.shape and new.dtype == old.dtype, f"{path}: {new.shape}"
        if re.search(row.sums, path):
            error = np.abs(new - old).max() / np.abs(old).max()
            assert error <= 1e-6, f"{path}: differs by {error}"
        else:
            assert np.array_equal(new, old), f"{path}: differs"
        for name, weight in weights.items() if row.mirrors else ():
            if name in path:
                if leaf.shape == weight.shape:
                    same = weight.sharding.is_equivalent_to(leaf.sharding, leaf.ndim)
                    assert same, f"{path}: {leaf.sharding}"
                assert leaf.sharding.device_set == weight.sharding.device_set, f"{path}: devices"


def tried(row: Row, net: Net, one: Net, expected: Any) -> None:
    """Run one technique, eager and, if it can be, compiled."""
    given = row.given(net)
    with watched() as fetches:
        got = row.run(given, one)
    check(row, net, got, expected)
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(net.params)]
    results = sum(leaf.nbytes for leaf in jax.tree.leaves(got) if isinstance(leaf, np.ndarray))
    most = {"none": 0, "one": 2.5 * max(sizes), "all": sum(sizes), "results": results}
    assert fetches.most <= most[row.most], f"{fetches.most} bytes are on the host at once"
    assert not fetches.elsewhere, f"numpy read split arrays {fetches.elsewhere}"
    if row.jits and len(jax.tree.leaves(net)[0].sharding.device_set) > 1:
        places = jax.tree.map(lambda leaf: leaf.sharding, net)
        compiled = jax.jit(
            lambda net: row.run(net, one), in_shardings=(places,), out_shardings=places.params
        )
        check(row, net, compiled(net), expected)


def restored(host: Net, layout: Layout) -> None:
    """Save a tree on some devices, and load it on others."""

    def tree(net: Net) -> Any:
        return {"plain": net.params, "shared": jc.kmeans(net.params, 4), "x": net.x}

    expected, files = jc.dense(tree(host)), []
    largest = max(leaf.nbytes for leaf in jax.tree.leaves(host))
    with tempfile.TemporaryDirectory() as folder:
        for devices in DEVICES:
            given = tree(jax.device_put(host, places_of(host, layout, devices)))
            files.append(f"{folder}/{devices}.npz")
            with watched() as fetches, small_parts():
                jc.save(files[-1], given)
            assert fetches.most <= largest, f"save holds {fetches.most} bytes at once"
            assert not fetches.now and not fetches.elsewhere, "save keeps arrays on the host"
        assert len({Path(file).read_bytes() for file in files}) == 1, "other bytes"
        for devices, file in itertools.product(DEVICES, files):
            net = places_of(host, layout, devices)
            places = {"plain": net.params, "shared": net.params, "x": net.x}
            found = jc.load(file, sharding=places)
            for new, old, place in zip(
                *map(jax.tree.leaves, (found, expected, places)), strict=True
            ):
                assert new.sharding == place and np.array_equal(new, old), f"{new.sharding}"


def main() -> None:
    """Try the rows, layouts and numbers of devices that are named, or all."""
    jax.config.update("jax_disable_most_optimizations", True)
    every = [{*ROWS, "save"}, {*LAYOUTS}, {*map(str, DEVICES)}]
    named = [set(words.split(",")) for words in sys.argv[1:]]
    rows, layouts, devices = (*named, *every[len(named) :])
    faults, expected, count = [], {}, 0
    for place, layout in LAYOUTS.items():
        host = net_of(layout)
        one = jax.tree.map(jnp.asarray, host)
        for name, number in itertools.product(ROWS, DEVICES):
            if name in rows and place in layouts and str(number) in devices:
                row, key, count = ROWS[name], (name, layout.sizes), count + 1
                try:
                    if key not in expected:
                        expected[key] = row.run(row.given(one), one)
                    net = jax.device_put(host, places_of(host, layout, number))
                    tried(row, net, one, expected[key])
                except Exception as error:
                    faults.append(f"{name}, {place}, {number}: {type(error).__name__}: {error}")
        if "save" in rows and place in layouts:
            restored(host, layout)
    sys.stdout.write(json.dumps({"cells": count, "faults": faults}) + "\n")


if __name__ == "__main__":
    main()
