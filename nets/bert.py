"""Published checkpoints of BERT as parameters of `TextEncoder`."""

import re
from collections.abc import Mapping

import numpy as np

from jaxcompress.nnx import Params
from nets.text import TextEncoderConfig

_ATTENTION = {"query": "self.query", "key": "self.key", "value": "self.value"}


def from_bert(tensors: Mapping[str, np.ndarray], *, heads: int) -> tuple[TextEncoderConfig, Params]:
    """Return sizes and parameters of a `TextEncoder` with the same outputs as BERT.

    Kernels are transposed, those of attention are split into heads, and the embedding of the first
    of two sentences is added to the positions. Other tensors of a checkpoint, such as the pooler,
    are left out. RoBERTa has the same names, but counts positions and pads rows in another way: it
    does not fit this encoder.

    Args:
        tensors: by name, as published (`embeddings.word_embeddings.weight`), all names together
            with or without a prefix such as `bert.`.
        heads: of each attention; the arrays do not determine them.

    Raises:
        ValueError: a tensor is missing, or heads that do not divide the width.
    """
    words = "embeddings.word_embeddings.weight"
    prefix = next((name.removesuffix(words) for name in tensors if name.endswith(words)), None)
    t = _Tensors((name.removeprefix(prefix or ""), np.asarray(t)) for name, t in tensors.items())
    vocabulary, width = t[words].shape
    if heads < 1 or width % heads:
        raise ValueError(
            f"heads: must divide the width of {width}, got {heads}; config.json says it."
        )
    found = (re.match(r"encoder\.layer\.(\d+)\.", name) for name in t)
    depth = max((int(match[1]) + 1 for match in found if match), default=1)
    blocks = [_block(t, f"encoder.layer.{number}.", heads) for number in range(depth)]
    positions = t["embeddings.position_embeddings.weight"]
    config = TextEncoderConfig(
        vocabulary=vocabulary,
        positions=len(positions),
        width=width,
        depth=len(blocks),
        heads=heads,
        hidden=blocks[0]["dense1"]["kernel"].shape[1],
    )
    return config, {
        "words": {"embedding": t[words]},
        "positions": {"embedding": positions + t["embeddings.token_type_embeddings.weight"][0]},
        "norm": _norm(t, "embeddings.LayerNorm"),
        "blocks": dict(enumerate(blocks)),
    }


class _Tensors(dict[str, np.ndarray]):
    """Tensors by name; the error for a missing one names it."""

    def __missing__(self, name: str) -> np.ndarray:
        found = ", ".join([*self][:3]) or "none"
        raise ValueError(f"tensors: must hold {name}, got {found}; pass those of a BERT encoder.")


def _block(t: Mapping[str, np.ndarray], at: str, heads: int) -> Params:
    attention = {
        mine: {
            "kernel": (dense := _dense(t, f"{at}attention.{theirs}"))["kernel"].reshape(
                len(dense["kernel"]), heads, -1
            ),
            "bias": dense["bias"].reshape(heads, -1),
        }
        for mine, theirs in _ATTENTION.items()
    }
    out = _dense(t, f"{at}attention.output.dense")
    out["kernel"] = out["kernel"].reshape(heads, -1, out["kernel"].shape[-1])
    return {
        "attention": attention | {"out": out},
        "norm1": _norm(t, f"{at}attention.output.LayerNorm"),
        "dense1": _dense(t, f"{at}intermediate.dense"),
        "dense2": _dense(t, f"{at}output.dense"),
        "norm2": _norm(t, f"{at}output.LayerNorm"),
    }


def _dense(t: Mapping[str, np.ndarray], name: str) -> Params:
    return {"kernel": t[f"{name}.weight"].T, "bias": t[f"{name}.bias"]}


def _norm(t: Mapping[str, np.ndarray], name: str) -> Params:
    return {"scale": t[f"{name}.weight"], "bias": t[f"{name}.bias"]}
