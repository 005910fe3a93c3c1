"""Well-known networks, as shapes only: functions, parameters, inputs, the number of their groups.

The defaults are the published sizes; `known_nets.py` has tiny ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.helpers.traced_nets import batch_norm, conv, layer_norm, ln
from tests.helpers.traced_nets import bn as bn_shapes


def shells(shapes):
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s, jnp.float32), shapes, is_leaf=lambda s: type(s) is tuple
    )


def max_pool(x, window, stride):
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), "SAME"
    )


def picture(size):
    return shells((1, size, size, 3))


def resnet50(*, stem=64, repeats=(3, 4, 6, 3), widths=(64, 128, 256, 512), classes=1000, size=224):
    shapes = {"stem": (7, 7, 3, stem), "bn": bn_shapes(stem)}
    blocks, c = {}, stem
    for stage, (depth, width) in enumerate(zip(repeats, widths, strict=True)):
        for i in range(depth):
            block = {
                "c1": (1, 1, c, width),
                "b1": bn_shapes(width),
                "c2": (3, 3, width, width),
                "b2": bn_shapes(width),
                "c3": (1, 1, width, 4 * width),
                "b3": bn_shapes(4 * width),
            }
            if i == 0:
                block |= {"sc": (1, 1, c, 4 * width), "bs": bn_shapes(4 * width)}
            c = 4 * width
            shapes[f"s{stage}b{i}"] = block
            blocks[f"s{stage}b{i}"] = 2 if i == 0 and stage else 1
    shapes["fc"] = (c, classes)

    def apply(p, x):
        x = max_pool(jax.nn.relu(batch_norm(conv(x, p["stem"], 2), p["bn"])), 3, 2)
        for name, stride in blocks.items():
            b = p[name]
            y = jax.nn.relu(batch_norm(conv(x, b["c1"]), b["b1"]))
            y = jax.nn.relu(batch_norm(conv(y, b["c2"], stride), b["b2"]))
            y = batch_norm(conv(y, b["c3"]), b["b3"])
            x = jax.nn.relu(y + (batch_norm(conv(x, b["sc"], stride), b["bs"]) if "sc" in b else x))
        return x.mean((1, 2)) @ p["fc"]

    # The stem, two in each block, one residual stream in each stage.
    return apply, shells(shapes), picture(size), 1 + 2 * sum(repeats) + len(widths)


def vit_b16(*, c=768, width=64, hidden=3072, depth=12, patch=16, classes=1000, size=224):
    tokens = (size // patch) ** 2 + 1
    shapes = {"patch": (patch, patch, 3, c), "cls": (1, 1, c), "pos": (1, tokens, c), "ln": ln(c)}
    shapes["head"] = (c, classes)
    for i in range(depth):
        shapes[f"l{i}"] = {
            **{name: {"w": (c, c), "b": (c,)} for name in "qkvo"},
            **{"ln1": ln(c), "ln2": ln(c)},
            **{"up": {"w": (c, hidden), "b": (hidden,)}, "down": {"w": (hidden, c), "b": (c,)}},
        }

    def dense(x, p):
        return x @ p["w"] + p["b"]

    def apply(p, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, p["patch"], [patch] * 2, "VALID", dimension_numbers=numbers)
        n = x.shape[0]
        x = x.reshape(n, -1, x.shape[-1])
        first = jnp.broadcast_to(p["cls"], (n, 1, x.shape[-1]))
        x = jnp.concatenate([first, x], 1) + p["pos"]
        for i in range(depth):
            b = p[f"l{i}"]
            y = layer_norm(x, b["ln1"])
            q, k, v = (dense(y, b[name]).reshape(n, x.shape[1], -1, width) for name in "qkv")
            scores = jnp.einsum("nthd,nshd->nhts", q, k) / np.sqrt(width)
            y = jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(scores), v)
            x = x + dense(y.reshape(n, x.shape[1], -1), b["o"])
            x = x + dense(jax.nn.gelu(dense(layer_norm(x, b["ln2"]), b["up"])), b["down"])
        return layer_norm(x, p["ln"])[:, 0] @ p["head"]

    # The embedding width; heads and hidden width of each block.
    return apply, shells(shapes), picture(size), 1 + 2 * depth


MOBILENET_V2 = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def mobilenet_v2(*, stem=32, plan=MOBILENET_V2, last=1280, classes=1000, size=224):
    shapes, blocks, c = {"stem": (3, 3, 3, stem), "bn": bn_shapes(stem)}, {}, stem
    for factor, width, repeats, stride in plan:
        for i in range(repeats):
            name, hidden = f"b{len(blocks)}", c * factor
            block = {"depth": (3, 3, 1, hidden), "bd": bn_shapes(hidden)}
            block |= {"project": (1, 1, hidden, width), "bp": bn_shapes(width)}
            if factor > 1:
                block |= {"expand": (1, 1, c, hidden), "be": bn_shapes(hidden)}
            shapes[name] = block
            blocks[name] = (stride if i == 0 else 1, i > 0)
            c = width
    shapes |= {"last": (1, 1, c, last), "bl": bn_shapes(last), "fc": (last, classes)}

    def apply(p, x):
        x = jax.nn.relu6(batch_norm(conv(x, p["stem"], 2), p["bn"]))
        for name, (stride, skip) in blocks.items():
            b, y = p[name], x
            if "expand" in b:
                y = jax.nn.relu6(batch_norm(conv(y, b["expand"]), b["be"]))
            y = conv(y, b["depth"], stride, feature_group_count=y.shape[-1])
            y = jax.nn.relu6(batch_norm(y, b["bd"]))
            y = batch_norm(conv(y, b["project"]), b["bp"])
            x = x + y if skip else y
        return jax.nn.relu6(batch_norm(conv(x, p["last"]), p["bl"])).mean((1, 2)) @ p["fc"]

    # The stem goes with the first depthwise convolution; expansions, widths, the last.
    return apply, shells(shapes), picture(size), 1 + len(blocks) - 1 + len(plan) + 1


def densenet121(*, stem=64, growth=32, layers=(6, 12, 24, 16), classes=1000, size=224):
    shapes, c = {"stem": (7, 7, 3, stem)}, stem
    for stage, depth in enumerate(layers):
        for i in range(depth):
            shapes[f"d{stage}_{i}"] = {
                "b1": bn_shapes(c),
                "c1": (1, 1, c, 4 * growth),
                "b2": bn_shapes(4 * growth),
                "c2": (3, 3, 4 * growth, growth),
            }
            c += growth
        if stage < len(layers) - 1:
            shapes[f"t{stage}"] = {"b": bn_shapes(c), "c": (1, 1, c, c // 2)}
            c //= 2
    order = [name for name in shapes if name != "stem"]
    shapes |= {"bn": bn_shapes(c), "fc": (c, classes)}

    def apply(p, x):
        x = max_pool(conv(x, p["stem"], 2), 3, 2)
        for name in order:
            b = p[name]
            if name[0] == "d":
                y = conv(jax.nn.relu(batch_norm(x, b["b1"])), b["c1"])
                y = conv(jax.nn.relu(batch_norm(y, b["b2"])), b["c2"])
                x = jnp.concatenate([x, y], -1)
            else:
                x = conv(jax.nn.relu(batch_norm(x, b["b"])), b["c"])
                n, h, w, width = x.shape
                x = x.reshape(n, h // 2, 2, w // 2, 2, width).mean((2, 4))
        return jax.nn.relu(batch_norm(x, p["bn"])).mean((1, 2)) @ p["fc"]

    # The stem, two in each layer, the transitions.
    return apply, shells(shapes), picture(size), 1 + 2 * sum(layers) + len(layers) - 1


def unet(*, widths=(64, 128, 256, 512, 1024), classes=2, size=256):
    shapes, c = {}, 3
    for level, width in enumerate(widths):
        shapes[f"down{level}"] = double = {"c1": (3, 3, c, width), "c2": (3, 3, width, width)}
        double |= {"b1": (width,), "b2": (width,)}
        c = width
    skips = list(enumerate(widths[:-1]))
    for level, width in reversed(skips):
        shapes[f"up{level}"] = double = {"c1": (3, 3, 2 * width, width), "b1": (width,)}
        double |= {"c2": (3, 3, width, width), "b2": (width,)}
        double |= {"up": (2, 2, c, width), "b0": (width,)}
        c = width
    shapes |= {"out": (1, 1, c, classes), "bias": (classes,)}

    def twice(x, p):
        return jax.nn.relu(conv(jax.nn.relu(conv(x, p["c1"]) + p["b1"]), p["c2"]) + p["b2"])

    def apply(p, x):
        kept = []
        for level in range(len(widths)):
            x = twice(max_pool(x, 2, 2) if level else x, p[f"down{level}"])
            kept.append(x)
        for level, _ in reversed(skips):
            b = p[f"up{level}"]
            x = lax.conv_transpose(x, b["up"], (2, 2), "SAME") + b["b0"]
            x = twice(jnp.concatenate([kept[level], x], -1), b)
        return conv(x, p["out"]) + p["bias"]

    # Two in each level going down, three in each going up.
    return apply, shells(shapes), picture(size), 2 * len(widths) + 3 * len(skips)


FULL_SIZE = {
    build.__name__: build for build in (resnet50, vit_b16, mobilenet_v2, densenet121, unet)
}
