"""Fields of the manifest that arrays of all forms have."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxcompress.artifact._fields import is_dtype, is_name, is_shape
from jaxcompress.artifact._forms.form import Form
from jaxcompress.artifact.coding import PACKINGS, Fields
from jaxcompress.artifact.streams import DTYPES
from jaxcompress.kinds import refuse_key

Forms = Mapping[str, Form]
"""Forms by name."""

HEAD: dict[str, Callable[[Any], bool]] = {"shape": is_shape, "dtype": is_dtype, "form": is_name}
"""Fields of every entry."""


def head(forms: Forms, path: str, leaf: Any) -> Fields:
    """Return the fields that every entry has, for a leaf.

    Raises:
        TypeError: a dtype that cannot be stored.
    """
    dtype = leaf.dtype.name
    if dtype not in DTYPES:
        refuse_key(path, leaf, "stored")
        raise TypeError(
            f"{path}: dtype must be one of {', '.join(DTYPES)}, got {dtype}; convert it first."
        )
    name = next((name for name, form in forms.items() if type(leaf) is form.leaf), "dense")
    return {"shape": [int(n) for n in leaf.shape], "dtype": dtype, "form": name}


def own_fields(
    forms: Forms, entry: Mapping[str, Any], version: int
) -> dict[str, Callable[[Any], bool]] | str:
    """Return the fields of the form of an entry, and a check of each.

    Returns:
        The fields; or, if form or packing is unknown, which of the two.
    """
    form = entry.get("form")
    by_version = forms[form].fields if isinstance(form, str) and form in forms else {}
    known = [since for since in by_version if since <= version]
    if not known:
        return "form"
    fields = dict(by_version[max(known)])
    if "packing" in fields:
        packing = entry.get("packing")
        if not isinstance(packing, str) or packing not in PACKINGS:
            return "packing"
        if PACKINGS[packing].since > version:
            return "packing"
        fields |= PACKINGS[packing].fields
    return fields
