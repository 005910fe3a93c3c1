"""Tiny networks of every kind, with the groups that a person finds by hand.

`EXPECTED[name]` holds for each group its units and where they lie: `path:axis`, with `xm` where a
unit has m indices; a star says that cutting changes the function.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcompress.nnx import functional
from nets.fruits_fusion import FruitsFusionConfig, FruitsFusionNet

NETS = {}
EXPECTED = {}


def net(shapes, x, groups):
    """Register a function with the shapes of its parameters, its inputs and its groups."""

    def register(apply):
        inputs = x if isinstance(x, list) else [x]
        NETS[apply.__name__] = (apply, shapes, inputs)
        EXPECTED[apply.__name__] = groups
        return apply

    return register


def make(name, seed=0):
    """Return apply, parameters and inputs, random and positive enough for any norm."""
    apply, shapes, inputs = NETS[name]
    rng = np.random.default_rng(seed)

    def draw(shape):
        return (rng.normal(size=shape) * 0.5 + 0.3).astype(np.float32)

    params = jax.tree.map(draw, shapes, is_leaf=lambda s: isinstance(s, tuple))
    arrays = [draw(x) if isinstance(x, tuple) else x for x in inputs]
    return apply, params, arrays


def conv(x, kernel, stride=1, **options):
    spatial = "DHW"[-(x.ndim - 2) :]
    numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    strides = (stride,) * len(spatial)
    return lax.conv_general_dilated(
        x, kernel, strides, "SAME", dimension_numbers=numbers, **options
    )


def batch_norm(x, p):
    return (x - p["mean"]) * lax.rsqrt(p["var"] ** 2 + 1e-3) * p["scale"] + p["bias"]


def layer_norm(x, p):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-3) * p["scale"] + p["bias"]


def bn(n):
    return {"scale": (n,), "bias": (n,), "mean": (n,), "var": (n,)}


def ln(n):
    return {"scale": (n,), "bias": (n,)}


def bn_at(path):
    return " ".join(f"{path}/{leaf}:0" for leaf in ("scale", "bias", "mean", "var"))


def dense(x, p):
    return x @ p["w"] + p["b"]


def fc(n, m):
    return {"w": (n, m), "b": (m,)}


@net(
    {"a": fc(4, 6), "b": fc(6, 5), "c": fc(5, 3)},
    (2, 4),
    {"a": (6, "a/w:1 a/b:0 b/w:0"), "b": (5, "b/w:1 b/b:0 c/w:0")},
)
def mlp(p, x):
    x = jax.nn.relu(dense(x, p["a"]))
    return dense(jnp.tanh(dense(x, p["b"])), p["c"])


@net(
    {
        "stem": (3, 3, 2, 4),
        "bn0": bn(4),
        "conv1": (3, 3, 4, 6),
        "bn1": bn(6),
        "conv2": (3, 3, 6, 4),
        "bn2": bn(4),
        "head": (4, 3),
    },
    (2, 6, 6, 2),
    {
        "stem": (4, f"stem:3 {bn_at('bn0')} conv1:2 conv2:3 {bn_at('bn2')} head:0"),
        "conv1": (6, f"conv1:3 {bn_at('bn1')} conv2:2"),
    },
)
def residual(p, x):
    x = jax.nn.relu(batch_norm(conv(x, p["stem"]), p["bn0"]))
    y = jax.nn.relu(batch_norm(conv(x, p["conv1"]), p["bn1"]))
    x = jax.nn.relu(x + batch_norm(conv(y, p["conv2"]), p["bn2"]))
    return x.mean((1, 2)) @ p["head"]


@net(
    {"expand": (1, 1, 2, 6), "depth": (3, 3, 1, 6), "bias": (6,), "project": (1, 1, 6, 3)},
    (1, 5, 5, 2),
    {"expand": (6, "expand:3 depth:3 bias:0 project:2")},
)
def depthwise(p, x):
    x = jax.nn.relu6(conv(x, p["expand"]))
    x = conv(x, p["depth"], feature_group_count=x.shape[-1]) + p["bias"]
    return conv(jax.nn.relu6(x), p["project"])


@net(
    {"a": (1, 1, 2, 4), "depth": (3, 3, 1, 8), "b": (1, 1, 8, 3)},
    (1, 5, 5, 2),
    {"a": (4, "a:3 depth:3x2 b:2x2"), "depth": (2, "depth:3x4 b:2x4")},
)
def depthwise_twice(p, x):
    x = conv(x, p["a"])
    return conv(conv(x, p["depth"], feature_group_count=x.shape[-1]), p["b"])


@net(
    {"a": (1, 1, 2, 8), "grouped": (3, 3, 4, 6), "b": (1, 1, 6, 3)},
    (1, 5, 5, 2),
    {"a": (4, "a:3x2 grouped:2"), "grouped": (3, "grouped:3x2 b:2x2")},
)
def grouped(p, x):
    x = jax.nn.relu(conv(x, p["a"]))
    return conv(jax.nn.relu(conv(x, p["grouped"], feature_group_count=2)), p["b"])


@net(
    {"a": (1, 1, 2, 8), "grouped": (3, 3, 2, 12), "b": (1, 1, 12, 3)},
    (1, 5, 5, 2),
    {
        "a:3#1": (2, "a:3x4 grouped:2"),
        "a:3#2": (4, "a:3x2 grouped:3x3 b:2x3"),
        "grouped": (3, "grouped:3x4 b:2x4"),
    },
)
def cardinality(p, x):
    x = jax.nn.relu(conv(x, p["a"]))
    groups = x.shape[-1] // p["grouped"].shape[2]
    return conv(jax.nn.relu(conv(x, p["grouped"], feature_group_count=groups)), p["b"])


@net(
    {"a": (3, 3, 2, 4), "w": (4 * 9, 5), "b": (5,), "out": (5, 3)},
    (2, 6, 6, 2),
    {"a": (4, "a:3 w:0x9"), "w": (5, "w:1 b:0 out:0")},
)
def flatten(p, x):
    x = jax.nn.relu(conv(x, p["a"]))
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    return jax.nn.relu(x.reshape(n, -1) @ p["w"] + p["b"]) @ p["out"]


@net(
    {"up": (3, 2 * 2 * 4), "conv": (3, 3, 4, 2)},
    (2, 3),
    {"up": (4, "up:1x4 conv:2")},
)
def unflatten(p, x):
    x = (x @ p["up"]).reshape(x.shape[0], 2, 2, -1)
    return conv(jax.nn.relu(x), p["conv"])


@net(
    {"a": (1, 1, 2, 4), "b": (3, 3, 4, 3), "bn": bn(7), "c": (3, 3, 7, 2)},
    (1, 4, 4, 2),
    {
        "a": (4, f"a:3 b:2 {bn_at('bn')} c:2"),
        "b": (3, f"b:3 {bn_at('bn')} c:2"),
    },
)
def concat(p, x):
    x = jax.nn.relu(conv(x, p["a"]))
    x = jnp.concatenate([x, conv(x, p["b"])], -1)
    return conv(jax.nn.relu(batch_norm(x, p["bn"])), p["c"])


@net(
    {"down": (3, 3, 2, 4), "deep": (3, 3, 4, 6), "up": (2, 2, 6, 5), "out": (3, 3, 9, 2)},
    (1, 4, 4, 2),
    {"down": (4, "down:3 deep:2 out:2"), "deep": (6, "deep:3 up:2"), "up": (5, "up:3 out:2")},
)
def unet(p, x):
    top = jax.nn.silu(conv(x, p["down"]))
    y = lax.reduce_window(top, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    y = jax.nn.silu(conv(y, p["deep"]))
    y = lax.conv_transpose(y, p["up"], (2, 2), "SAME")
    return conv(jnp.concatenate([y, top], -1), p["out"])


@net(
    {"in": (3, 6), "ln": ln(6), "up": fc(6, 8), "down": fc(8, 6), "ln2": ln(6), "out": (6, 2)},
    (2, 3),
    {
        "in": (
            6,
            "in:1 ln/scale:0 ln/bias:0 up/w:0 down/w:1 down/b:0 ln2/scale:0 ln2/bias:0 out:0 *",
        ),
        "up": (8, "up/w:1 up/b:0 down/w:0"),
    },
)
def norm_mlp(p, x):
    x = x @ p["in"]
    x = x + dense(jax.nn.gelu(dense(layer_norm(x, p["ln"]), p["up"])), p["down"])
    return layer_norm(x, p["ln2"]) @ p["out"]


@net(
    {"in": (3, 6), "scale": (6,), "out": (6, 2)},
    (2, 3),
    {"in": (6, "in:1 scale:0 out:0 *")},
)
def rms_norm(p, x):
    x = x @ p["in"]
    return (x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-3) * p["scale"]) @ p["out"]


def attend(q, k, v):
    scores = jnp.einsum("nthd,nshd->nhts", q, k) / np.sqrt(q.shape[-1])
    return jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(scores), v)


@net(
    {"in": (3, 6), "q": (6, 2, 4), "k": (6, 2, 4), "v": (6, 2, 5), "o": (2, 5, 6), "out": (6, 2)},
    (2, 3, 3),
    {
        "in": (6, "in:1 q:0 k:0 v:0 o:2 out:0"),
        "q:1": (2, "q:1 k:1 v:1 o:0"),
        "q:2": (4, "q:2 k:2"),
        "v": (5, "v:2 o:1"),
    },
)
def attention(p, x):
    x = x @ p["in"]
    q, k, v = (jnp.einsum("ntc,chd->nthd", x, p[name]) for name in "qkv")
    x = x + jnp.einsum("nthd,hdc->ntc", attend(q, k, v), p["o"])
    return x @ p["out"]


ATTENTION = {
    "in": (3, 6),
    "q": fc(6, 8),
    "k": fc(6, 8),
    "v": fc(6, 8),
    "o": fc(8, 6),
    "out": (6, 2),
}
STREAM = "in:1 q/w:0 k/w:0 v/w:0 o/w:1 o/b:0 out:0"


def attention_by_reshape(p, x, split):
    x = x @ p["in"]
    n, t, _ = x.shape
    q, k, v = (dense(x, p[name]).reshape(n, t, *split) for name in "qkv")
    x = x + dense(attend(q, k, v).reshape(n, t, -1), p["o"])
    return x @ p["out"]


@net(
    ATTENTION,
    (2, 3, 3),
    {"in": (6, STREAM), "q": (2, "q/w:1x4 q/b:0x4 k/w:1x4 k/b:0x4 v/w:1x4 v/b:0x4 o/w:0x4")},
)
def attention_of_any_heads(p, x):
    return attention_by_reshape(p, x, (-1, 4))


@net(
    ATTENTION,
    (2, 3, 3),
    {
        "in": (6, STREAM),
        "q": (4, "q/w:1x2 q/b:0x2 k/w:1x2 k/b:0x2"),
        "v": (4, "v/w:1x2 v/b:0x2 o/w:0x2"),
    },
)
def attention_of_any_width(p, x):
    return attention_by_reshape(p, x, (2, -1))


@net(ATTENTION, (2, 3, 3), {"in": (6, STREAM)})
def attention_written_down(p, x):
    return attention_by_reshape(p, x, (2, 4))


@net(
    {"in": (3, 4), "qkv": (4, 18), "o": (6, 4), "out": (4, 2)},
    (2, 3, 3),
    {
        "in": (4, "in:1 qkv:0 o:1 out:0"),
        "qkv": (2, "qkv:1x9 o:0x3"),
    },
)
def fused_attention(p, x):
    x = x @ p["in"]
    n, t, _ = x.shape
    q, k, v = (a.reshape(n, t, -1, 3) for a in jnp.split(x @ p["qkv"], 3, -1))
    x = x + attend(q, k, v).reshape(n, t, -1) @ p["o"]
    return x @ p["out"]


@net(
    {"up": (3, 12), "down": (6, 2)},
    (2, 3),
    {"up": (6, "up:1x2 down:0")},
)
def glu_by_split(p, x):
    gate, value = jnp.split(x @ p["up"], 2, -1)
    return (jax.nn.sigmoid(gate) * value) @ p["down"]


@net(
    {"gate": (3, 6), "up": (3, 6), "down": (6, 2)},
    (2, 3),
    {"gate": (6, "gate:1 up:1 down:0")},
)
def glu(p, x):
    return (jax.nn.silu(x @ p["gate"]) * (x @ p["up"])) @ p["down"]


@net(
    {"a": (3, 3, 2, 6), "squeeze": fc(6, 3), "excite": fc(3, 6), "out": (6, 2)},
    (2, 4, 4, 2),
    {
        "a": (6, "a:3 squeeze/w:0 excite/w:1 excite/b:0 out:0"),
        "squeeze": (3, "squeeze/w:1 squeeze/b:0 excite/w:0"),
    },
)
def squeeze_excite(p, x):
    x = jax.nn.relu(conv(x, p["a"]))
    gates = dense(jax.nn.relu(dense(x.mean((1, 2)), p["squeeze"])), p["excite"])
    return (x * jax.nn.sigmoid(gates)[:, None, None, :]).sum((1, 2)) @ p["out"]


@net(
    {"table": (7, 6), "places": (3, 6), "w": fc(6, 6), "out": (7,)},
    [np.array([[0, 3, 6], [2, 2, 1]])],
    {"table": (6, "table:1 places:1 w/w:0 w/w:1 w/b:0")},
)
def tied_embedding(p, tokens):
    x = p["table"][tokens] + p["places"]
    x = x + jnp.tanh(dense(x, p["w"]))
    return x @ p["table"].T + p["out"]


@net(
    {"in": (3, 4), "layers": {"up": (3, 4, 6), "b": (3, 6), "down": (3, 6, 4)}, "out": (4, 2)},
    (2, 3),
    {
        "in": (4, "in:1 layers/up:1 layers/down:2 out:0 *"),
        "layers": (6, "layers/up:2 layers/b:1 layers/down:1"),
    },
)
def scanned(p, x):
    def layer(x, w):
        return x + jax.nn.relu(x @ w["up"] + w["b"]) @ w["down"], x.sum()

    x, _ = lax.scan(layer, x @ p["in"], p["layers"])
    return x @ p["out"]


@net(
    {"in": (3, 5), "rec": (5, 5), "b": (5,), "out": (5, 2)},
    (4, 2, 3),
    {"rec": (5, "rec:0 rec:1 in:1 b:0 out:0")},
)
def recurrent(p, x):
    def cell(h, x):
        return jnp.tanh(h @ p["rec"] + x @ p["in"] + p["b"]), None

    h, _ = lax.scan(cell, jnp.zeros((x.shape[1], p["b"].shape[0])), x)
    return h @ p["out"]


@net(
    {"a": (3, 5), "loop": (5, 5), "one": (5, 4), "two": (5, 4), "out": (4, 2)},
    (2, 3),
    {"a": (5, "a:1 loop:0 loop:1 one:0 two:0 *"), "one": (4, "one:1 two:1 out:0")},
)
def branches(p, x):
    x = x @ p["a"]
    x = lax.fori_loop(0, 2, lambda i, y: jnp.tanh(y @ p["loop"]), x)
    x = lax.while_loop(lambda y: jnp.abs(y).sum() > 1, lambda y: y / 2, x)
    x = lax.cond(x.sum() > 0, lambda y: y @ p["one"], lambda y: y @ p["two"], x)
    return x @ p["out"]


@jax.custom_vjp
def clipped(x):
    return jnp.clip(x, -1, 1)


clipped.defvjp(lambda x: (clipped(x), None), lambda _, g: (g,))


@net(
    {"a": fc(3, 4), "b": fc(4, 5), "c": fc(5, 6), "d": fc(6, 2)},
    (2, 3),
    {
        "a": (4, "a/w:1 a/b:0 b/w:0"),
        "b": (5, "b/w:1 b/b:0 c/w:0"),
        "c": (6, "c/w:1 c/b:0 d/w:0"),
    },
)
def wrapped(p, x):
    x = jax.checkpoint(lambda x: jax.nn.relu6(dense(x, p["a"])))(x)
    x = jax.jit(lambda x, w: jax.nn.silu(dense(x, w)))(x, p["b"])
    return dense(clipped(dense(x, p["c"])), p["d"])


@net(
    {"a": (3, 2, 4), "b": (3, 4, 3)},
    (2, 6, 2),
    {"a": (4, "a:2 b:1")},
)
def one_dimensional(p, x):
    return conv(jax.nn.elu(conv(x, p["a"], stride=2)), p["b"], rhs_dilation=(2,))


@net(
    {"a": (2, 2, 2, 2, 4), "b": (2, 2, 2, 4, 3)},
    (1, 4, 4, 4, 2),
    {"a": (4, "a:4 b:3")},
)
def three_dimensional(p, x):
    return conv(jnp.tanh(conv(x, p["a"])), p["b"])


@net(
    {"a": (4, 2, 3, 3), "b": (3, 4, 3, 3)},
    (1, 2, 5, 5),
    {"a": (4, "a:0 b:1")},
)
def channels_first(p, x):
    x = jax.nn.relu(lax.conv(x, p["a"], (1, 1), "SAME"))
    pad = ((0, 0), (0, 0), (1, 1), (1, 1))
    x = lax.reduce_window(jnp.pad(x, pad), 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return lax.conv(x, p["b"], (1, 1), "SAME")


@net(
    {"a": (1, 1, 2, 8), "scale": (8,), "b": (1, 1, 8, 3)},
    (2, 4, 4, 2),
    {"a": (4, "a:3x2 scale:0x2 b:2x2 *")},
)
def group_norm(p, x):
    x = conv(x, p["a"])
    parts = x.reshape(*x.shape[:3], 2, -1)
    mean = parts.mean((1, 2, 4), keepdims=True)
    parts = (parts - mean) / jnp.sqrt(parts.var((1, 2, 4), keepdims=True) + 1e-3)
    return conv(parts.reshape(x.shape) * p["scale"], p["b"])


@net(
    {"a": (1, 1, 2, 6), "b": (1, 1, 6, 3)},
    (1, 4, 4, 2),
    {"a": (3, "a:3x2 b:2x2")},
)
def channel_shuffle(p, x):
    x = conv(x, p["a"])
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, c // 2).swapaxes(-1, -2).reshape(n, h, w, c)
    return conv(x, p["b"])


@net(
    {"a": (3, 3, 2, 4), "b": (3, 3, 4, 3)},
    (1, 4, 4, 2),
    {"a": (4, "a:3 b:2")},
)
def patches(p, x):
    x = jax.nn.relu(conv(x, p["a"]))
    shifted = [jnp.roll(x, (i, j), (1, 2)) for i in range(3) for j in range(3)]
    columns = jnp.concatenate(shifted, -1)
    return columns @ p["b"].reshape(-1, p["b"].shape[-1])


@net(
    {"in": (3, 4), "heads": (4, 2, 3), "mix": (6, 4), "out": (4, 2)},
    (2, 3),
    {
        "in": (4, "in:1 heads:0 mix:1 out:0"),
        "heads:1": (2, "heads:1 mix:0x3"),
        "heads:2": (3, "heads:2 mix:0x2"),
    },
)
def heads_into_dense(p, x):
    x = x @ p["in"]
    y = jnp.einsum("nc,chd->nhd", x, p["heads"])
    return (x + y.reshape(x.shape[0], -1) @ p["mix"]) @ p["out"]


@net(
    {"a": (3, 6), "b": (6, 5), "c": (5, 2)},
    (2, 3),
    {"b": (5, "b:1 c:0")},
)
def sorted_units(p, x):
    return jnp.tanh(jnp.sort(x @ p["a"], -1) @ p["b"]) @ p["c"]


@net({"a": (3, 6), "b": (6, 2)}, (2, 3), {})
def softmax_of_units_with_constant(p, x):
    return jax.nn.softmax(x @ p["a"] + np.arange(6.0, dtype=np.float32)) @ p["b"]


@net(
    {"a": (3, 6), "b": (6, 4), "c": (4, 2)},
    (2, 3),
    {"a": (6, "a:1 b:0 *"), "b": (4, "b:1 c:0 *")},
)
def reductions(p, x):
    y = jax.nn.softmax(x @ p["a"]) @ p["b"]
    y = y / jnp.max(y, -1, keepdims=True) + jax.nn.logsumexp(y, -1, keepdims=True)
    return (y + jnp.cumsum(y, -1)) @ p["c"]


@net(
    {"a": (3, 8), "first": (4, 2), "second": (4, 2)},
    (2, 3),
    {"a": (4, "a:1 second:0")},
)
def written_down(p, x):
    x = x @ p["a"]
    return x[:, :4] @ p["first"] + x[:, 4:] @ p["second"]


@net(
    {"a": (1, 1, 2, 3), "b": (1, 1, 3, 5), "c": (1, 1, 5, 2)},
    (1, 4, 4, 2),
    {"a": (3, "a:3 b:2 b:3 c:2"), "b": (2, "b:3 c:2")},
)
def padded_shortcut(p, x):
    x = conv(x, p["a"])
    y = conv(x, p["b"])
    extra = y.shape[-1] - x.shape[-1]
    return conv(y + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, extra))), p["c"])


@net(
    {"in": (3, 6), "q": (6, 16), "k": (6, 8), "v": (6, 8), "o": (16, 6), "out": (6, 2)},
    (2, 5, 3),
    {
        "in": (6, "in:1 q:0 k:0 v:0 o:1 out:0"),
        "q": (2, "q:1x8 k:1x4 v:1x4 o:0x8"),
    },
)
def grouped_queries(p, x):
    x = x @ p["in"]
    n, t, _ = x.shape
    q, k, v = ((x @ p[name]).reshape(n, t, -1, 4) for name in "qkv")
    angle = jnp.arange(t)[:, None, None] / jnp.arange(1, 3.0)

    def rotated(a):
        left, right = a[..., :2], a[..., 2:]
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], -1)

    k, v = (jnp.repeat(a, q.shape[2] // a.shape[2], axis=2) for a in (rotated(k), v))
    scores = jnp.einsum("nthd,nshd->nhts", rotated(q), k)
    scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -1e9)
    y = jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(scores), v).reshape(n, t, -1)
    return (x + y @ p["o"]).at[:, 0].set(0) @ p["out"]


@net(
    {"in": (3, 6), "qkv": (6, 24), "o": (8, 6), "rel": (9, 2), "merge": (24, 5), "out": (5, 2)},
    (1, 4, 4, 3),
    {
        "in": (6, "in:1 qkv:0 o:1 merge:0x4"),
        "qkv": (4, "qkv:1x6 o:0x2"),
        "merge": (5, "merge:1 out:0"),
    },
)
def windows(p, x):
    x = x @ p["in"]
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c).swapaxes(2, 3).reshape(-1, 4, c)
    q, k, v = (x @ p["qkv"]).reshape(x.shape[0], 4, 3, 2, -1).transpose(2, 0, 3, 1, 4)
    places = (np.arange(16).reshape(4, 4) * 7) % 9
    scores = q @ k.swapaxes(-1, -2) + p["rel"][places].transpose(2, 0, 1)
    y = (jax.nn.softmax(scores) @ v).swapaxes(1, 2).reshape(x.shape[0], 4, -1)
    x = (x + y @ p["o"]).reshape(n, h // 2, w // 2, 2, 2, c).swapaxes(2, 3).reshape(n, h, w, c)
    corners = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
    return jnp.concatenate(corners, -1) @ p["merge"] @ p["out"]


@net(
    {"a": (1, 1, 2, 12), "b": (1, 1, 3, 2)},
    (1, 3, 3, 2),
    {"a": (3, "a:3x4 b:2")},
)
def pixel_shuffle(p, x):
    x = conv(x, p["a"])
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, 2, c // 4).swapaxes(2, 3).reshape(n, 2 * h, 2 * w, c // 4)
    return conv(x, p["b"])


@net(
    {"a": (3, 6), "b": (3, 6), "out": (6, 2)},
    (2, 3),
    {"a": (6, "a:1 b:1 out:0 *")},
)
def stacked(p, x):
    both = jnp.stack([x @ p["a"], x @ p["b"]], axis=-1)
    one, other = jnp.unstack(jax.nn.softmax(both, axis=-2), axis=-1)
    return (one * other) @ p["out"]


@net(
    {"a": (3, 8), "out": (8, 2)},
    (2, 3),
    {"a": (4, "a:1x2 out:0x2")},
)
def turned_in_pairs(p, x):  # as rotary positions are
    y = x @ p["a"]
    y = y.reshape(*y.shape[:-1], -1, 2)
    one, other = y[..., 0], y[..., 1]
    y = jnp.stack([one - other, one + other], axis=-1)
    return y.reshape(*y.shape[:-2], -1) @ p["out"]


def fruits_net():
    config = FruitsFusionConfig(
        classes=3, image_size=8, channels={"picture": 3, "edges": 1},
        numbers={"shape": 4}, widths=(4, 5, 6), vector_hidden=7, hidden=8,
    )  # fmt: skip
    net = functional(lambda rngs: FruitsFusionNet(config, rngs=rngs))
    rng = np.random.default_rng(0)
    params, stats = jax.tree.map(
        lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype),
        jax.eval_shape(net.init, jax.random.key(0)),
    )
    inputs = {
        "picture": rng.normal(size=(2, 8, 8, 3)).astype(np.float32),
        "edges": rng.normal(size=(2, 8, 8, 1)).astype(np.float32),
        "shape": rng.normal(size=(2, 4)).astype(np.float32),
    }

    def apply(tree, inputs):
        return net.apply(tree["params"], tree["stats"], inputs)

    return apply, {"params": params, "stats": stats}, inputs
