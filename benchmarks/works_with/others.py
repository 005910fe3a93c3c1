"""A flow of Distrax and a graph network of Jraph, both with networks of Haiku inside them."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.works_with.cases import Case, Sizes, Source, normal, randomized


def _flow() -> Case:
    distrax, hk = import_module("distrax"), import_module("haiku")
    x = normal(3, 4)

    def build(widths: tuple[int, int]) -> tuple[Callable[..., Any], Any]:
        def forward(x: Any) -> Any:
            layers = []
            for number, width in enumerate(widths):
                net = hk.nets.MLP([width, 8], name=f"net{number}")
                layers.append(
                    distrax.MaskedCoupling(
                        mask=np.arange(4) % 2 == number,
                        conditioner=net,
                        bijector=lambda params: distrax.ScalarAffine(
                            params[..., :4], log_scale=jnp.tanh(params[..., 4:])
                        ),
                    )
                )
            base = distrax.MultivariateNormalDiag(jnp.zeros(4), jnp.ones(4))
            return distrax.Transformed(base, distrax.Inverse(distrax.Chain(layers))).log_prob(x)

        network = hk.without_apply_rng(hk.transform(forward))
        return network.apply, network.init(jax.random.key(0), x)

    def rebuild(sizes: Sizes) -> Callable[..., Any]:
        first, second = (sizes[f"net{number}/~/linear_0/w"][1] for number in (0, 1))
        return build((first, second))[0]

    apply, params = build((16, 12))
    return Case(apply, randomized(params), (x,), rebuild)


def _graph() -> Case:
    jraph, hk = import_module("jraph"), import_module("haiku")
    nodes, edges = normal(5, 3), normal(6, 2)
    senders = np.array([0, 1, 2, 3, 4, 0], np.int32)
    receivers = np.array([1, 2, 3, 4, 0, 2], np.int32)

    def build(wide: int, messages: int, convolved: int) -> tuple[Callable[..., Any], Any]:
        def forward(nodes: Any, edges: Any, senders: Any, receivers: Any) -> Any:
            def of_edges(features: Any, sent: Any, received: Any, globals_: Any) -> Any:
                del globals_
                joined = jnp.concatenate([features, sent, received], -1)
                return hk.nets.MLP([wide, messages], name="edges")(joined)

            def of_nodes(features: Any, sent: Any, received: Any, globals_: Any) -> Any:
                del sent, globals_
                return jax.nn.relu(
                    hk.Linear(wide, name="nodes")(jnp.concatenate([features, received], -1))
                )

            counts = {"n_node": np.array([5]), "n_edge": np.array([6])}
            graph = jraph.GraphsTuple(nodes, edges, receivers, senders, None, **counts)
            graph = jraph.GraphNetwork(of_edges, of_nodes)(graph)
            convolve = jraph.GraphConvolution(hk.Linear(convolved, name="convolve"))
            return hk.Linear(2, name="last")(jax.nn.relu(convolve(graph).nodes))

        network = hk.without_apply_rng(hk.transform(forward))
        params = network.init(jax.random.key(0), nodes, edges, senders, receivers)
        return network.apply, params

    def rebuild(sizes: Sizes) -> Callable[..., Any]:
        wide, messages = sizes["edges/~/linear_1/w"]
        return build(wide, messages, sizes["convolve/w"][1])[0]

    apply, params = build(16, 12, 8)
    return Case(apply, randomized(params), (nodes, edges, senders, receivers), rebuild)


NETWORKS = {
    "Distrax, coupling flow": Source(("distrax", "dm-haiku"), _flow),
    "Jraph, graph network": Source(("jraph", "dm-haiku"), _graph),
}
