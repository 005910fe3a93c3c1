"""Parts of a transformer in NumPy, head by head, for what nets compute."""

import numpy as np
from scipy.special import erf, softmax


def norm(x, p):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def blocks(x, p, heads, *, turned=lambda x: x, added=0.0):
    """Return tokens `[n, t, width]` after blocks with norms first.

    `turned` is done to queries and keys, and `added` to the scores.
    """
    for number in range(len(p)):
        block = p[number]
        y, a = norm(x, block["norm1"]), block["attention"]
        for head in range(heads):
            q, k, v = (
                y @ a[name]["kernel"][:, head] + a[name]["bias"][head]
                for name in ("query", "key", "value")
            )
            scores = turned(q) @ turned(k).swapaxes(1, 2) / np.sqrt(q.shape[-1])
            x = x + softmax(scores + added, axis=-1) @ v @ a["out"]["kernel"][head]
        x = x + a["out"]["bias"]
        y = dense(norm(x, block["norm2"]), block["dense1"])
        x = x + dense(y * (1 + erf(y / np.sqrt(2))) / 2, block["dense2"])
    return x
