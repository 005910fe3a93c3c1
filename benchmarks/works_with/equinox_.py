"""Vision models of Equimo, flows of FlowJAX and a neural ODE of Diffrax: all of Equinox."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import numpy as np

from benchmarks.works_with.cases import Case, Source, normal, randomized

KEY = jax.random.key(0)


def _split(model: Any, run: Callable[..., Any], *inputs: Any) -> Case:
    """Return a case of a module; `run(module, *inputs)` calls it."""
    eqx = import_module("equinox")
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def apply(params: Any, *inputs: Any) -> Any:
        return run(eqx.combine(params, static), *inputs)

    return Case(apply, randomized(params), inputs)


def _images(model: Any) -> Case:
    def run(model: Any, x: Any) -> Any:
        return jax.vmap(lambda image: model(image, key=KEY, inference=True))(x)

    return _split(model, run, normal(2, 3, 32, 32))


def _vit() -> Case:
    vit = import_module("equimo.models.vit")
    return _images(vit.VisionTransformer(32, 3, 16, 8, 4, [2], num_classes=5, key=KEY))


def _convnext() -> Case:
    convnext = import_module("equimo.models.convnext")
    model = convnext.ConvNeXt(
        depths=[1, 1, 1, 1],
        dims=[8, 8, 16, 16],
        layer_scale_init_value=0.5,
        num_classes=5,
        key=KEY,
    )
    return _images(model)


def _mobilenet() -> Case:
    mobilenet = import_module("equimo.models.mobilenet")
    layers = [(8, 16, 3, 2, True, "relu"), (8, 24, 3, 1, False, "hard_swish")]
    model = mobilenet.MobileNetv3(3, layers, last_channels=16, num_classes=5, key=KEY)
    return _images(model)


def _flow(kind: str) -> Case:
    flows = import_module("flowjax.flows")
    base = import_module("flowjax.distributions").Normal(np.zeros(4))
    flow = getattr(flows, kind)(KEY, base_dist=base, flow_layers=2, nn_width=16)
    return _split(flow, lambda flow, x: flow.log_prob(x), normal(3, 4))


def _neural_ode() -> Case:
    eqx, diffrax = import_module("equinox"), import_module("diffrax")
    field = eqx.nn.MLP(3, 3, 16, 2, jax.nn.tanh, key=KEY)

    def run(field: Any, x: Any) -> Any:
        term = diffrax.ODETerm(lambda t, y, args: jax.vmap(field)(y))
        solver, control = diffrax.Tsit5(), diffrax.PIDController(rtol=1e-4, atol=1e-6)
        solved = diffrax.diffeqsolve(
            term, solver, 0.0, 1.0, 0.1, x, stepsize_controller=control, max_steps=64
        )
        return solved.ys[-1]

    return _split(field, run, normal(2, 3))


NETWORKS = {
    "Equimo, vision transformer": Source(("equimo", "equinox"), _vit),
    "Equimo, ConvNeXt": Source(("equimo", "equinox"), _convnext),
    "Equimo, MobileNetV3": Source(("equimo", "equinox"), _mobilenet),
    "FlowJAX, coupling flow": Source(("flowjax", "equinox"), lambda: _flow("coupling_flow")),
    "FlowJAX, autoregressive flow": Source(
        ("flowjax", "equinox"), lambda: _flow("masked_autoregressive_flow")
    ),
    "Diffrax, neural ODE": Source(("diffrax", "equinox"), _neural_ode),
}
