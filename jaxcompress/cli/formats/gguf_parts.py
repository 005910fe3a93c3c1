"""A GGUF model in several files, each with its number and how many there are.

Source: https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split
"""

import os
import re
from pathlib import Path

from jaxcompress.cli.formats.gguf_header import Header, Value, read_header
from jaxcompress.cli.formats.inside import is_inside
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError

_NUMBER, _COUNT, _TENSORS = "split.no", "split.count", "split.tensors.count"
_MOST = 10_000  # files


def read_parts(path: Path) -> dict[Path, Header]:
    """Return the header of a file, or of all files of its model.

    Raises:
        ArtifactError: one is damaged, or they contradict each other.
        Refused: files are missing.
    """
    header = read_header(path)
    count = _number(header.values, _COUNT, 1)
    if count <= 1:
        return {path: header}
    matched = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.gguf", path.name)
    if not matched or int(matched[2]) != count or count > _MOST:
        raise Refused(
            f"{path}: one of {count} files must be called NAME-00001-of-{count:05}.gguf and so on; "
            "give them their names again, or merge them with llama-gguf-split --merge."
        )
    names = [f"{matched[1]}-{k + 1:05}-of-{count:05}.gguf" for k in range(count)]
    missing = [name for name in names if not os.path.lexists(path.parent / name)]
    if missing:
        raise Refused(
            f"{path}: all {count} files must lie in one folder, missing {', '.join(missing[:3])}"
            f"{' and others' if len(missing) > 3 else ''}; fetch them again."
        )
    found: dict[Path, Header] = {}
    for number, name in enumerate(names):
        part = path.parent / name
        if not is_inside(path.parent, part):
            raise Refused(
                f"{part}: a file of a model must lie in its folder, got a link to "
                f"{os.path.realpath(part)}; copy it into the folder."
            )
        found[part] = read_header(part)
        says = [_number(found[part].values, key, 0) for key in (_NUMBER, _COUNT)]
        if says != [number, count]:
            raise ArtifactError(
                "must be the file that its name says",
                file=str(part),
                expected=f"{number} of {count}",
                found=f"{says[0]} of {says[1]}",
            )
    _check_tensors(path, found)
    return found


def _check_tensors(path: Path, parts: dict[Path, Header]) -> None:
    """Refuse a tensor in two files, and too few of them."""
    seen: set[str] = set()
    for part, header in parts.items():
        if twice := sorted(seen & set(header.tensors)):
            raise ArtifactError("a tensor is in another file too", file=str(part), tensor=twice[0])
        seen |= set(header.tensors)
    declared = _number(next(iter(parts.values())).values, _TENSORS, len(seen))
    if declared != len(seen):
        raise ArtifactError(
            "the files must hold all tensors", file=str(path), expected=declared, found=len(seen)
        )


def values_of_model(parts: dict[Path, Header]) -> dict[str, Value]:
    """Return the values of the first file, without those of its being one of several."""
    values = next(iter(parts.values())).values
    return {key: value for key, value in values.items() if not key.startswith("split.")}


def _number(values: dict[str, Value], key: str, default: int) -> int:
    found = values[key].value if key in values else default
    return found if isinstance(found, int) else default
