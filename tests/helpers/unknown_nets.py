"""Products written with primitives that are not understood, and with calls that are."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import io_callback, pallas
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import AxisType, PartitionSpec

M, K, N = 8, 4, 4


def result(x, w):
    return jax.ShapeDtypeStruct((x.shape[0], w.shape[1]), x.dtype)


def kernel(x, w):
    def body(x, w, out):
        out[...] = x[...] @ w[...]

    return pallas.pallas_call(body, out_shape=result(x, w), interpret=True)(x, w)


def by_numpy(x, w):
    return np.asarray(x) @ np.asarray(w)


made_up_p = Primitive("made_up")
made_up_p.def_abstract_eval(lambda x, w: jax.core.ShapedArray((x.shape[0], w.shape[1]), x.dtype))
made_up_p.def_impl(jnp.matmul)
mlir.register_lowering(made_up_p, mlir.lower_fun(jnp.matmul, multiple_results=False))


@jax.custom_vjp
def with_gradient(x, w):
    return kernel(x, w)


with_gradient.defvjp(lambda x, w: (kernel(x, w), (x, w)), lambda xw, g: (g @ xw[1].T, xw[0].T @ g))


def in_shards(x, w):
    mesh = jax.make_mesh((1,), ("d",), axis_types=(AxisType.Auto,))
    rows = PartitionSpec("d")
    return jax.shard_map(
        lambda x, w: lax.psum(x @ w, ()),
        mesh=mesh,
        in_specs=(rows, PartitionSpec()),
        out_specs=rows,
    )(x, w)


UNKNOWN = {
    "pallas_call": kernel,
    "pallas_call, with a gradient": with_gradient,
    "pallas_call, in a scan": lambda x, w: lax.scan(lambda c, _: (c, kernel(x, w)), 0, None, 1)[1][
        0
    ],
    "pure_callback": lambda x, w: jax.pure_callback(by_numpy, result(x, w), x, w),
    "io_callback": lambda x, w: io_callback(by_numpy, result(x, w), x, w),
    "made_up": made_up_p.bind,
    "triangular_solve": lambda x, w: jax.scipy.linalg.solve_triangular(w + jnp.eye(K), x.T).T,
    "shard_map": in_shards,
}


@custom_partitioning
def partitioned(x, w):
    return x @ w


partitioned.def_partition(
    partition=lambda *given: None,
    infer_sharding_from_operands=lambda *given: None,
    sharding_rule="i j, j k -> i k",
)


@jax.custom_jvp
def with_jvp(x, w):
    return x @ w


with_jvp.defjvp(lambda primals, tangents: (with_jvp(*primals), with_jvp(*tangents)))


@jax.custom_vjp
def with_vjp(x, w):
    return x @ w


with_vjp.defvjp(lambda x, w: (x @ w, (x, w)), lambda xw, g: (g @ xw[1].T, xw[0].T @ g))


@jax.custom_batching.custom_vmap
def with_batches(x, w):
    return x @ w


with_batches.def_vmap(lambda size, batched, x, w: (jnp.matmul(x, w), True))

UNDERSTOOD = {
    "jit": jax.jit(lambda x, w: jax.jit(jnp.matmul)(x, w)),
    "checkpoint": jax.checkpoint(jnp.matmul),
    "custom_jvp": with_jvp,
    "custom_vjp": with_vjp,
    "custom_partitioning": partitioned,
    "composite": lax.composite(lambda x, w: x @ w, "my.matmul"),
    "custom_vmap": with_batches,
    "reduce_precision": lambda x, w: lax.reduce_precision(x, 8, 10) @ w,
    "random numbers": lambda x, w: (x + jax.random.normal(jax.random.key(0), x.shape)) @ w,
    "debug": lambda x, w: (jax.debug.callback(lambda x: None, x), x @ w)[1],
    "sums": lambda x, w: jnp.cumsum(jnp.sort(x, 1), 1) @ w,
    "fourier": lambda x, w: jnp.fft.ifft(jnp.fft.fft(x)).real @ w,
}
