"""The forms by name: how a leaf becomes an entry of the manifest, and the entry a leaf.

JAX clamps indices out of range without a word, so everything is checked in numpy first.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from jaxcompress.artifact.coding import PACKINGS
from jaxcompress.artifact.errors import ArtifactError
from jaxcompress.artifact.fields import is_digest, is_dtype, is_name, is_shape
from jaxcompress.artifact.forms.clustered import CLUSTERED
from jaxcompress.artifact.forms.dense import DENSE
from jaxcompress.artifact.forms.form import Form, blocks
from jaxcompress.artifact.forms.half import HALF
from jaxcompress.artifact.forms.quantized import QUANTIZED
from jaxcompress.artifact.forms.sparse import SPARSE
from jaxcompress.artifact.streams import DTYPES, Reader, Writer

FORMS: dict[str, Form] = {
    "dense": DENSE,
    "clustered": CLUSTERED,
    "sparse": SPARSE,
    "quantized": QUANTIZED,
    "half": HALF,
}

_NAME_OF = {form.leaf: name for name, form in FORMS.items()}

_COMMON: dict[int, dict[str, Callable[[Any], bool]]] = {
    1: {"path": is_name, "shape": is_shape, "dtype": is_dtype, "form": is_name},
    2: {"sha256": is_digest},
}
"""What every entry has, and since when."""

_FIRST_WRITTEN = 2


def write_leaf(path: str, leaf: Any, layout: str, writer: Writer) -> dict[str, Any]:
    """Add a leaf to the streams and return its entry in the manifest.

    Raises:
        TypeError: a dtype that cannot be stored.
        ValueError: a leaf that breaks the rules of its type.
    """
    dtype = np.dtype(leaf.dtype).name if isinstance(leaf.dtype, np.dtype) else str(leaf.dtype)
    if dtype not in DTYPES:
        raise TypeError(
            f"{path}: dtype must be one of {', '.join(DTYPES)}, got {dtype}; convert it first."
        )
    name = _NAME_OF.get(type(leaf), "dense")
    form = FORMS[name]
    stored = form.prepare(path, leaf)
    fields = form.write(stored, dtype, layout, writer)
    entry = {"path": path, "shape": [int(n) for n in leaf.shape], "dtype": dtype, "form": name}
    return entry | fields | {"sha256": _digest(form.numbers(stored))}


def read_leaf(entry: dict[str, Any], reader: Reader) -> Any:
    """Return the leaf that an entry of the manifest describes, made of numpy arrays.

    Raises:
        ArtifactError: what it takes from the streams breaks a rule, naming the tensor.
    """
    reader.begin_tensor()
    form = FORMS[entry["form"]]
    try:
        leaf = form.read(entry, tuple(entry["shape"]), entry["dtype"], reader)
        if reader.version > 1:
            found = _digest(form.numbers(leaf))
            if not hmac.compare_digest(found, entry["sha256"]):
                raise ArtifactError("sha256 differs", expected=entry["sha256"], found=found)
    except ArtifactError as error:
        raise error.at(tensor=entry["path"]) from None
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise ArtifactError(str(error), tensor=entry["path"]) from None
    return leaf


def check_entry(entry: Any, version: int) -> None:
    """Refuse an entry of the manifest that has other fields than it should, or other kinds.

    Raises:
        ArtifactError: naming the tensor and the field.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ArtifactError("an entry without a path", found=entry)
    fields = _fields(entry, version)
    if fields.keys() != entry.keys():
        raise ArtifactError(
            "other fields than this form has",
            tensor=entry["path"],
            expected=sorted(fields),
            found=sorted(entry),
        )
    for name, fits in fields.items():
        if not fits(entry[name]):
            raise ArtifactError(f"{name} is not valid", tensor=entry["path"], found=entry[name])


def oldest_version(entries: Iterable[Mapping[str, Any]]) -> int:
    """Return the oldest version of the format that is still written and has these forms."""
    return max(_FIRST_WRITTEN, *(min(FORMS[entry["form"]].fields) for entry in entries), 0)


def _fields(entry: dict[str, Any], version: int) -> dict[str, Callable[[Any], bool]]:
    """Return the fields that an entry must have, and what each may be."""
    form = entry.get("form")
    by_version = FORMS[form].fields if isinstance(form, str) and form in FORMS else {}
    known = [since for since in by_version if since <= version]
    if not known:
        raise ArtifactError("unknown form", tensor=entry["path"], found=form)
    fields = {
        n: fits for since, part in _COMMON.items() if since <= version for n, fits in part.items()
    }
    fields |= by_version[max(known)]
    if "packing" in fields:
        packing = entry.get("packing")
        if not isinstance(packing, str) or packing not in PACKINGS:
            raise ArtifactError("unknown packing", tensor=entry["path"], found=packing)
        fields |= PACKINGS[packing].fields
    return fields


def _digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the sha256 of the numbers of a leaf, little-endian and in C order."""
    result = hashlib.sha256()
    for array in arrays:
        for block in blocks(np.asarray(array)):
            result.update(block.view(np.uint8).data)
    return result.hexdigest()
