"""Sentence embeddings of all-MiniLM-L6-v2 in numpy: enough of BERT to measure compression.

Source: Devlin et al. 2019, arXiv:1810.04805; Wang et al. 2020 (MiniLM), arXiv:2002.10957.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.special import erf

HEADS, _EPSILON = 12, 1e-12


def embeddings(
    tensors: Mapping[str, np.ndarray], texts: Sequence[Sequence[int]], *, heads: int = HEADS
) -> np.ndarray:
    """Return one vector of length 1 a text: the mean of its tokens' last hidden states."""
    vectors = []
    for ids in texts:
        hidden = _hidden(tensors, ids, heads).mean(axis=0)
        vectors.append(hidden / np.linalg.norm(hidden))
    return np.stack(vectors)


def tokens(sentence: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Return the word pieces of an English sentence: lower case, the longest first."""
    words = re.findall(r"[a-z0-9]+|[^a-z0-9\s]", sentence.lower())
    pieces = [piece for word in words for piece in _pieces(word, vocabulary)]
    return [vocabulary[piece] for piece in ("[CLS]", *pieces, "[SEP]")]


def _pieces(word: str, vocabulary: Mapping[str, int]) -> Iterator[str]:
    found, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((e for e in ends if prefix + word[start:e] in vocabulary), None)
        if end is None:
            yield "[UNK]"
            return
        found.append(prefix + word[start:end])
        start = end
    yield from found


def _hidden(t: Mapping[str, np.ndarray], ids: Sequence[int], heads: int) -> np.ndarray:
    x = t["embeddings.word_embeddings.weight"][np.asarray(ids)]
    x = x + t["embeddings.position_embeddings.weight"][: len(ids)]
    x = _norm(t, "embeddings.LayerNorm", x + t["embeddings.token_type_embeddings.weight"][0])
    names = (f"encoder.layer.{layer}" for layer in itertools.count())
    for at in itertools.takewhile(lambda name: f"{name}.output.dense.weight" in t, names):
        query, key, value = (
            _dense(t, f"{at}.attention.self.{name}", x).reshape(len(ids), heads, -1)
            for name in ("query", "key", "value")
        )
        scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(query.shape[-1])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weights, value).reshape(x.shape)
        x = x + _dense(t, f"{at}.attention.output.dense", mixed)
        x = _norm(t, f"{at}.attention.output.LayerNorm", x)
        inner = _dense(t, f"{at}.intermediate.dense", x)
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = _norm(t, f"{at}.output.LayerNorm", x + _dense(t, f"{at}.output.dense", inner))
    return x


def _dense(t: Mapping[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]


def _norm(t: Mapping[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + _EPSILON)
    return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]
