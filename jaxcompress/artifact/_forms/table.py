"""The forms by name: from a leaf to an entry of the manifest, and back.

JAX clamps indices out of range without an error, so everything is checked in numpy first.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from jaxcompress.artifact._fields import is_digest, is_name
from jaxcompress.artifact._forms.clustered import CLUSTERED
from jaxcompress.artifact._forms.dense import DENSE
from jaxcompress.artifact._forms.entry import HEAD, head, own_fields
from jaxcompress.artifact._forms.form import Form, blocks
from jaxcompress.artifact._forms.half import HALF
from jaxcompress.artifact._forms.lowrank import low_rank_form
from jaxcompress.artifact._forms.planes import PLANES, pays
from jaxcompress.artifact._forms.quantized import QUANTIZED
from jaxcompress.artifact._forms.same import REPEAT, SAME
from jaxcompress.artifact._forms.sparse import SPARSE
from jaxcompress.artifact.coding import PACKINGS
from jaxcompress.artifact.streams import Reader, Writer
from jaxcompress.errors import ArtifactError
from jaxcompress.leaves import is_compressed, uncoded

_OF_NUMBERS: dict[str, Form] = {
    "dense": DENSE,
    "clustered": CLUSTERED,
    "sparse": SPARSE,
    "quantized": QUANTIZED,
    "half": HALF,
}

FORMS: dict[str, Form] = _OF_NUMBERS | {
    "lowrank": low_rank_form(_OF_NUMBERS),
    "planes": PLANES,
    SAME: REPEAT,
}

_COMMON: dict[int, dict[str, Callable[[Any], bool]]] = {
    1: {"path": is_name, **HEAD},
    2: {"sha256": is_digest},
}
"""Fields of every tensor, by version of the format that added them; one that is not stored itself
has no digest of its own."""

_FIRST_WRITTEN = 2


def write_leaf(path: str, leaf: Any, layout: str, writer: Writer) -> dict[str, Any]:
    """Add a leaf to the streams and return its entry in the manifest.

    Raises:
        TypeError: a dtype that cannot be stored.
        ValueError: a leaf that breaks the rules of its type.
    """
    writer.begin_tensor()
    if is_compressed(leaf):
        leaf = uncoded({path: leaf})[path]
    entry = {"path": path} | head(FORMS, path, leaf)
    form = FORMS[entry["form"]]
    stored = form.prepare(path, leaf)
    if layout == "entropy" and form in (DENSE, HALF) and pays(stored):
        form, entry["form"] = PLANES, "planes"
    fields = form.write(stored, entry["dtype"], layout, writer)
    if form is REPEAT:
        return entry | fields
    return entry | fields | {"sha256": _digest(form.numbers(stored))}


def read_leaf(entry: dict[str, Any], reader: Reader) -> Any:
    """Return the leaf that an entry of the manifest describes, made of numpy arrays.

    Raises:
        ArtifactError: the numbers in the streams break a rule, naming the tensor.
    """
    reader.begin_tensor()
    form = FORMS[entry["form"]]
    try:
        leaf = form.read(entry, tuple(entry["shape"]), entry["dtype"], reader)
        if reader.version > 1 and form is not REPEAT:
            found = _digest(form.numbers(leaf))
            if not hmac.compare_digest(found, entry["sha256"]):
                raise ArtifactError("sha256 differs", expected=entry["sha256"], found=found)
    except ArtifactError as error:
        raise error.at(tensor=entry["path"]) from None
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise ArtifactError(str(error), tensor=entry["path"]) from None
    return leaf


def check_entry(entry: Any, version: int) -> None:
    """Refuse an entry of the manifest with wrong fields, or fields of a wrong kind.

    Raises:
        ArtifactError: naming the tensor and the field.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise ArtifactError("an entry without a path", found=entry)
    fields = own_fields(FORMS, entry, version)
    if isinstance(fields, str):
        raise ArtifactError(f"unknown {fields}", tensor=entry["path"], found=entry.get(fields))
    for since, common in _COMMON.items():
        fields |= common if since <= version else {}
    if entry["form"] == SAME:
        del fields["sha256"]
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
    """Return the oldest version of the format, among those still written, that has these forms."""
    return max([_FIRST_WRITTEN, *map(_since, entries)])


def _since(entry: Mapping[str, Any]) -> int:
    """Return the version of the format that added the form or the packing of an entry."""
    parts = entry.get("product", {"factors": []})["factors"]
    packing = PACKINGS[entry["packing"]].since if "packing" in entry else 1
    return max(min(FORMS[entry["form"]].fields), packing, *map(_since, parts), 1)


def _digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the sha256 of the numbers of a leaf, little-endian and in C order."""
    result = hashlib.sha256()
    for array in arrays:
        for block in blocks(np.asarray(array)):
            result.update(block.view(np.uint8).data)
    return result.hexdigest()
