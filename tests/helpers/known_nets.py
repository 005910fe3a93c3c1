"""Tiny versions of well-known networks, with the groups that a person finds by hand."""

import jax

from tests.helpers.full_size_nets import densenet121, mobilenet_v2, resnet50, unet, vit_b16
from tests.helpers.traced_nets import NETS, bn_at, net


def tiny(build, groups, **sizes):
    """Register a network at the sizes given, under a name of its own."""
    apply, params, x, count = build(classes=2, **sizes)
    assert len(groups) == count
    apply.__name__ = f"tiny_{build.__name__}"
    net(jax.tree.map(lambda leaf: leaf.shape, params), x.shape, groups)(apply)


def ln_at(path):
    return f"{path}/scale:0 {path}/bias:0"


def each(names, parts):
    return " ".join(parts.format(name) for name in names)


tiny(
    resnet50,
    {
        "stem": (2, f"stem:3 {bn_at('bn')} s0b0/c1:2 s0b0/sc:2"),
        "s0b0/c1": (2, f"s0b0/c1:3 {bn_at('s0b0/b1')} s0b0/c2:2"),
        "s0b0/c2": (2, f"s0b0/c2:3 {bn_at('s0b0/b2')} s0b0/c3:2"),
        "s0b0/c3": (
            8,
            f"s0b0/c3:3 {bn_at('s0b0/b3')} s0b0/sc:3 {bn_at('s0b0/bs')} s0b1/c1:2 "
            f"s0b1/c3:3 {bn_at('s0b1/b3')} s1b0/c1:2 s1b0/sc:2",
        ),
        "s0b1/c1": (2, f"s0b1/c1:3 {bn_at('s0b1/b1')} s0b1/c2:2"),
        "s0b1/c2": (2, f"s0b1/c2:3 {bn_at('s0b1/b2')} s0b1/c3:2"),
        "s1b0/c1": (3, f"s1b0/c1:3 {bn_at('s1b0/b1')} s1b0/c2:2"),
        "s1b0/c2": (3, f"s1b0/c2:3 {bn_at('s1b0/b2')} s1b0/c3:2"),
        "s1b0/c3": (12, f"s1b0/c3:3 {bn_at('s1b0/b3')} s1b0/sc:3 {bn_at('s1b0/bs')} fc:0"),
    },
    stem=2, repeats=(2, 1), widths=(2, 3), size=8,
)  # fmt: skip

tiny(
    vit_b16,
    {
        "patch": (
            4,
            f"patch:3 cls:2 pos:2 {ln_at('l0/ln1')} {each('qkv', 'l0/{}/w:0')} l0/o/w:1 l0/o/b:0 "
            f"{ln_at('l0/ln2')} l0/up/w:0 l0/down/w:1 l0/down/b:0 {ln_at('ln')} head:0 *",
        ),
        "l0/q": (2, f"{each('qkv', 'l0/{0}/w:1x2 l0/{0}/b:0x2')} l0/o/w:0x2"),
        "l0/up": (3, "l0/up/w:1 l0/up/b:0 l0/down/w:0"),
    },
    c=4, width=2, hidden=3, depth=1, patch=2, size=4,
)  # fmt: skip

tiny(
    mobilenet_v2,
    {
        "stem": (2, f"stem:3 {bn_at('bn')} b0/depth:3 {bn_at('b0/bd')} b0/project:2"),
        "b0": (3, f"b0/project:3 {bn_at('b0/bp')} b1/expand:2"),
        "b1/expand": (
            6, f"b1/expand:3 {bn_at('b1/be')} b1/depth:3 {bn_at('b1/bd')} b1/project:2"
        ),
        "b1/project": (
            4,
            f"b1/project:3 {bn_at('b1/bp')} b2/expand:2 b2/project:3 {bn_at('b2/bp')} last:2",
        ),
        "b2": (8, f"b2/expand:3 {bn_at('b2/be')} b2/depth:3 {bn_at('b2/bd')} b2/project:2"),
        "last": (5, f"last:3 {bn_at('bl')} fc:0"),
    },
    stem=2, plan=((1, 3, 1, 1), (2, 4, 2, 2)), last=5, size=4,
)  # fmt: skip

tiny(
    densenet121,
    {
        "stem": (
            3, f"stem:3 {each(['d0_0', 'd0_1'], '{}/c1:2')} t0/c:2 "
            f"{bn_at('d0_0/b1')} {bn_at('d0_1/b1')} {bn_at('t0/b')}",
        ),
        "d0_0/c1": (8, f"d0_0/c1:3 {bn_at('d0_0/b2')} d0_0/c2:2"),
        "d0_0/c2": (2, f"d0_0/c2:3 {bn_at('d0_1/b1')} d0_1/c1:2 {bn_at('t0/b')} t0/c:2"),
        "d0_1/c1": (8, f"d0_1/c1:3 {bn_at('d0_1/b2')} d0_1/c2:2"),
        "d0_1/c2": (2, f"d0_1/c2:3 {bn_at('t0/b')} t0/c:2"),
        "t0": (3, f"t0/c:3 {bn_at('d1_0/b1')} d1_0/c1:2 {bn_at('bn')} fc:0"),
        "d1_0/c1": (8, f"d1_0/c1:3 {bn_at('d1_0/b2')} d1_0/c2:2"),
        "d1_0/c2": (2, f"d1_0/c2:3 {bn_at('bn')} fc:0"),
    },
    stem=3, growth=2, layers=(2, 1), size=8,
)  # fmt: skip

tiny(
    unet,
    {
        "down0/c1": (3, "down0/c1:3 down0/b1:0 down0/c2:2"),
        "down0/c2": (3, "down0/c2:3 down0/b2:0 down1/c1:2 up0/c1:2"),
        "down1/c1": (4, "down1/c1:3 down1/b1:0 down1/c2:2"),
        "down1/c2": (4, "down1/c2:3 down1/b2:0 up0/up:2"),
        "up0/up": (3, "up0/up:3 up0/b0:0 up0/c1:2"),
        "up0/c1": (3, "up0/c1:3 up0/b1:0 up0/c2:2"),
        "up0/c2": (3, "up0/c2:3 up0/b2:0 out:2"),
    },
    widths=(3, 4), size=4,
)  # fmt: skip

ALL = sorted(NETS)
