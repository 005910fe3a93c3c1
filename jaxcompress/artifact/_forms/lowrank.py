"""`LowRank` leaves in a file: the equation, and each factor in a form of its own."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_float
from jaxcompress.artifact._forms.entry import HEAD, Forms, head, own_fields
from jaxcompress.artifact._forms.form import Form
from jaxcompress.artifact.coding import Fields
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.checks import check_finite, finite
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import LowRank
from jaxcompress.leaves.lowrank import broken_rule

_VERSIONS = (4, 5)
"""Versions that added the form, and packings of its factors."""


def low_rank_form(forms: Forms) -> Form:
    """Return the form of `LowRank` leaves.

    Args:
        forms: that factors may have.
    """
    return Form(
        LowRank,
        partial(_prepare, forms),
        partial(_numbers, forms),
        partial(_write, forms),
        {since: {"product": partial(_is_product, forms, since)} for since in _VERSIONS},
        partial(_read, forms),
    )


def _form_of(forms: Forms, path: str, factor: Any) -> Form:
    return forms[head(forms, path, factor)["form"]]


def _prepare(forms: Forms, path: str, leaf: LowRank) -> LowRank:
    dtypes = sorted({str(factor.dtype) for factor in leaf.factors})
    rule = broken_rule(leaf.equation, [tuple(factor.shape) for factor in leaf.factors])
    if any(isinstance(factor, LowRank) for factor in leaf.factors):
        rule = "factors must be arrays or leaves of other types, got LowRank"
    elif not rule and (len(dtypes) > 1 or not is_float(dtypes[0])):
        rule = f"factors must be floating-point numbers of one dtype, got {', '.join(dtypes)}"
    if rule:
        raise ValueError(f"{path}: {rule}; make the leaf with low_rank.")
    factors = tuple(_form_of(forms, path, f).prepare(path, f) for f in leaf.factors)
    for factor in factors:
        if isinstance(factor, np.ndarray):
            check_finite(path, factor)
    return LowRank(factors=factors, equation=leaf.equation)


def _numbers(forms: Forms, leaf: LowRank) -> Iterator[np.ndarray]:
    for factor in leaf.factors:
        yield from _form_of(forms, "", factor).numbers(factor)


def _write(forms: Forms, leaf: LowRank, dtype: str, layout: str, writer: Writer) -> Fields:
    factors = [
        head(forms, "", factor) | _form_of(forms, "", factor).write(factor, dtype, layout, writer)
        for factor in leaf.factors
    ]
    return {"product": {"equation": leaf.equation, "factors": factors}}


def _is_product(forms: Forms, version: int, value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"equation", "factors"}:
        return False
    factors = value["factors"]
    if not isinstance(factors, list) or not factors:
        return False
    if not all(_is_factor(forms, version, factor) for factor in factors):
        return False
    return broken_rule(value["equation"], [tuple(f["shape"]) for f in factors]) is None


def _is_factor(forms: Forms, version: int, value: Any) -> bool:
    fields = own_fields(forms, value, version) if isinstance(value, dict) else "form"
    if isinstance(fields, str):
        return False
    fields |= HEAD
    return fields.keys() == value.keys() and all(fits(value[n]) for n, fits in fields.items())


def _read(
    forms: Forms, entry: dict[str, Any], shape: tuple[int, ...], dtype: str, reader: Reader
) -> LowRank:
    product = entry["product"]
    if not is_float(dtype) or any(part["dtype"] != dtype for part in product["factors"]):
        raise ArtifactError("factors must be floating-point numbers of its dtype", found=dtype)
    factors = tuple(
        forms[part["form"]].read(part, tuple(part["shape"]), dtype, reader)
        for part in product["factors"]
    )
    leaf = LowRank(factors=factors, equation=product["equation"])
    if leaf.shape != shape:
        raise ArtifactError("the shape is not that of the product", expected=leaf.shape)
    for factor in factors:
        if isinstance(factor, np.ndarray) and not finite(factor).all():
            raise ArtifactError("a factor is not finite")
    return leaf
