"""Networks of Haiku: its layers compare every shape with the one they were made for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax

from benchmarks.works_with.cases import Case, Sizes, Source, normal, randomized, tokens


def _transformed(forward: Callable[..., Any], *inputs: Any) -> tuple[Callable[..., Any], Any]:
    hk = import_module("haiku")
    network = hk.without_apply_rng(hk.transform_with_state(forward))
    params, state = network.init(jax.random.key(0), *inputs, training=True)

    def apply(tree: Any, *inputs: Any) -> Any:
        return network.apply(tree["params"], tree["state"], *inputs)[0]

    return apply, {"params": params, "state": state}


def _convolutions() -> Case:
    hk = import_module("haiku")
    x = normal(2, 8, 8, 3)

    def build(first: int, second: int, wide: int) -> tuple[Callable[..., Any], Any]:
        def forward(x: Any, *, training: bool = False) -> Any:
            for channels in (first, second):
                x = hk.Conv2D(channels, 3)(x)
                norm = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)
                x = jax.nn.relu(norm(x, is_training=training))
                x = hk.max_pool(x, 2, 2, "VALID")
            return hk.nets.MLP([wide, 5])(hk.Flatten()(x))

        return _transformed(forward, x)

    def rebuild(sizes: Sizes) -> Callable[..., Any]:
        names = ("conv2_d", "conv2_d_1", "mlp/~/linear_0")
        return build(*(sizes[f"params/{name}/w"][-1] for name in names))[0]

    apply, params = build(8, 16, 24)
    return Case(apply, randomized(params), (x,), rebuild)


def _recurrent() -> Case:
    hk = import_module("haiku")
    x = tokens(2, 6)

    def build(embedded: int, lstm: int, gru: int) -> tuple[Callable[..., Any], Any]:
        def forward(x: Any, *, training: bool = False) -> Any:
            del training
            core = hk.DeepRNN([hk.LSTM(lstm), hk.GRU(gru)])
            steps = hk.Embed(50, embedded)(x).transpose(1, 0, 2)
            outputs, _ = hk.dynamic_unroll(core, steps, core.initial_state(len(x)))
            return hk.Linear(5)(outputs[-1])

        return _transformed(forward, x)

    def rebuild(sizes: Sizes) -> Callable[..., Any]:
        embedded = sizes["params/embed/embeddings"][1]
        lstm = sizes["params/lstm/linear/w"][1] // 4
        return build(embedded, lstm, sizes["params/gru/w_i"][1] // 3)[0]

    apply, params = build(8, 16, 12)
    return Case(apply, randomized(params), (x,), rebuild)


def _resnet() -> Case:
    hk = import_module("haiku")
    x = normal(2, 32, 32, 3)

    def forward(x: Any, *, training: bool = False) -> Any:
        net = hk.nets.ResNet(
            (1, 1, 1, 1),
            5,
            bottleneck=True,
            channels_per_group=(16, 16, 32, 32),
            initial_conv_config={"output_channels": 8, "kernel_shape": 3, "stride": 1},
        )
        return net(x, is_training=training)

    apply, params = _transformed(forward, x)
    return Case(apply, randomized(params), (x,))


NETWORKS = {
    "Haiku, convolutions with batch norm": Source(("dm-haiku",), _convolutions),
    "Haiku, LSTM and GRU": Source(("dm-haiku",), _recurrent),
    "Haiku, ResNet with bottlenecks": Source(("dm-haiku",), _resnet),
}
