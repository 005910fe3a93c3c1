"""Why tensors of a file were left as they were: what the file says, or a plan, and nothing else."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.artifact.tensors import Tensor
from jaxcompress.kinds import WEIGHTS, kind_of
from jaxcompress.oneshot.rules import Rule, Treatment, Treatments
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.oneshot.survey import LOSSLESS, NOT_FINITE, OUTSIDE, survey
from jaxcompress.trees import kernels, matching

UNKNOWN = "not recorded"
NO_WEIGHTS = "no floating-point numbers"
_LEFT = ("dense", "planes", "half")
_MOST_RULES = 1000
_PLAIN = re.compile(r"[\w/.-]+")  # patterns that take no longer than the paths


def left_of(tensors: Sequence[Tensor], metadata: Any, planned: Mapping[str, str]) -> dict[str, str]:
    """Return why tensors without a compressed form have none, by path.

    `jaxcompress pack` records its options, from which it follows which tensors it does not
    compress; what it decides by their numbers it does not record.

    Args:
        tensors: of the file.
        metadata: of the file.
        planned: reasons of the plan of the file, by path.
    """
    left = [tensor for tensor in tensors if tensor.form in _LEFT]
    pack = metadata.get("pack") if isinstance(metadata, dict) else None
    asked = _surveyed(tensors, pack) if isinstance(pack, dict) else {}
    return {tensor.path: _why(tensor, planned, asked) for tensor in left}


def _why(tensor: Tensor, planned: Mapping[str, str], asked: Mapping[str, str]) -> str:
    if kind_of(np.empty(0, tensor.dtype)) not in WEIGHTS.members:
        return NO_WEIGHTS
    why = planned.get(tensor.path) or asked.get(tensor.path) or UNKNOWN
    thin = "outside of the scope: fewer than two axes"
    return thin if why == OUTSIDE and len(tensor.shape) < 2 else why


def _surveyed(tensors: Sequence[Tensor], pack: Mapping[str, Any]) -> dict[str, str]:
    """Return which tensors `pack` leaves by its options, none where these do not fit the file."""
    if pack.get("lossless") is True:
        return {tensor.path: LOSSLESS for tensor in tensors}
    try:
        found = _by_options(tensors, pack)
    except (TypeError, ValueError, KeyError, AttributeError):  # metadata of others
        return {}
    if any(tensor.path in found and tensor.form not in (*_LEFT, "same") for tensor in tensors):
        return {}  # another version of pack, or a scope that it does not record
    infinite = {t.path for t in tensors if t.form in _LEFT and t.path not in found and _is_odd(t)}
    return found | dict.fromkeys(infinite, NOT_FINITE)


def _by_options(tensors: Sequence[Tensor], pack: Mapping[str, Any]) -> dict[str, str]:
    rules = pack.get("rules", [])
    scope = pack.get("scope")
    if len(rules) > _MOST_RULES or (scope is not None and not _PLAIN.fullmatch(scope)):
        return {t.path: OUTSIDE for t in tensors if len(t.shape) < 2}  # whatever they say
    usual = Treatment(way="relative", value=0)
    asked = Treatments(usual, tuple(Rule(str(pattern), settings) for pattern, settings in rules))
    tree = {t.path: jax.ShapeDtypeStruct(t.shape, np.dtype(t.dtype)) for t in tensors}
    source = TreeSource(tree)
    known = survey(
        source,
        kernels if scope is None else matching(scope),
        keeps=lambda path: (rule := asked.rule_of(path)) is not None and rule.settings is None,
    )
    return {path: why for path, why in zip(source.paths, known, strict=True) if why is not None}


def _is_odd(tensor: Tensor) -> bool:
    values = tensor.dense()
    return bool(values.size) and not math.isfinite(float(np.abs(values.astype(np.float64)).max()))
