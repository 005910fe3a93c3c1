"""Well-known networks at full size, as shapes only: functions, parameters, inputs."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from traced_nets import batch_norm, conv, layer_norm, ln
from traced_nets import bn as bn_shapes


def shells(shapes):
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s, jnp.float32), shapes, is_leaf=lambda s: type(s) is tuple
    )


def max_pool(x, window, stride):
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), "SAME"
    )


def resnet50():
    shapes = {"stem": (7, 7, 3, 64), "bn": bn_shapes(64)}
    blocks, c = {}, 64
    for stage, (repeats, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True)):
        for i in range(repeats):
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
    shapes["fc"] = (c, 1000)

    def apply(p, x):
        x = max_pool(jax.nn.relu(batch_norm(conv(x, p["stem"], 2), p["bn"])), 3, 2)
        for name, stride in blocks.items():
            b = p[name]
            y = jax.nn.relu(batch_norm(conv(x, b["c1"]), b["b1"]))
            y = jax.nn.relu(batch_norm(conv(y, b["c2"], stride), b["b2"]))
            y = batch_norm(conv(y, b["c3"]), b["b3"])
            x = jax.nn.relu(y + (batch_norm(conv(x, b["sc"], stride), b["bs"]) if "sc" in b else x))
        return x.mean((1, 2)) @ p["fc"]

    # The stem, two in each of 16 blocks, one residual stream in each of 4 stages.
    return apply, shells(shapes), shells((1, 224, 224, 3)), 1 + 2 * 16 + 4


def vit_b16():
    c, width, hidden, depth = 768, 64, 3072, 12
    shapes = {"patch": (16, 16, 3, c), "cls": (1, 1, c), "pos": (1, 197, c), "ln": ln(c)}
    shapes["head"] = (c, 1000)
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
        x = lax.conv_general_dilated(x, p["patch"], (16, 16), "VALID", dimension_numbers=numbers)
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
    return apply, shells(shapes), shells((1, 224, 224, 3)), 1 + 2 * depth


def mobilenet_v2():
    shapes, blocks, c = {"stem": (3, 3, 3, 32), "bn": bn_shapes(32)}, {}, 32
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for factor, width, repeats, stride in [*plan, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for i in range(repeats):
            name, hidden = f"b{len(blocks)}", c * factor
            block = {"depth": (3, 3, 1, hidden), "bd": bn_shapes(hidden)}
            block |= {"project": (1, 1, hidden, width), "bp": bn_shapes(width)}
            if factor > 1:
                block |= {"expand": (1, 1, c, hidden), "be": bn_shapes(hidden)}
            shapes[name] = block
            blocks[name] = (stride if i == 0 else 1, i > 0)
            c = width
    shapes |= {"last": (1, 1, c, 1280), "bl": bn_shapes(1280), "fc": (1280, 1000)}

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

    # The stem goes with the first depthwise convolution; 16 expansions, 7 widths, the last.
    return apply, shells(shapes), shells((1, 224, 224, 3)), 1 + 16 + 7 + 1


def densenet121():
    growth, shapes, c = 32, {"stem": (7, 7, 3, 64)}, 64
    for stage, layers in enumerate((6, 12, 24, 16)):
        for i in range(layers):
            shapes[f"d{stage}_{i}"] = {
                "b1": bn_shapes(c),
                "c1": (1, 1, c, 4 * growth),
                "b2": bn_shapes(4 * growth),
                "c2": (3, 3, 4 * growth, growth),
            }
            c += growth
        if stage < 3:
            shapes[f"t{stage}"] = {"b": bn_shapes(c), "c": (1, 1, c, c // 2)}
            c //= 2
    order = [name for name in shapes if name != "stem"]
    shapes |= {"bn": bn_shapes(c), "fc": (c, 1000)}

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

    # The stem, two in each of 58 layers, three transitions.
    return apply, shells(shapes), shells((1, 224, 224, 3)), 1 + 2 * 58 + 3


FULL_SIZE = {build.__name__: build for build in (resnet50, vit_b16, mobilenet_v2, densenet121)}
