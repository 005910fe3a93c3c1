"""ONNX: the tensors of a model, and a model with other numbers in its place.

A tensor is read when its turn comes, from the model or from a file beside it. What is written is
a copy of the model with other numbers, so that graph, names and what is unknown here stay.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from jaxcompress.artifact.atomic import atomic_file
from jaxcompress.artifact.reading import reading
from jaxcompress.cli import screen
from jaxcompress.cli.flat import FlatSource
from jaxcompress.cli.formats.onnx_axes import output_axes
from jaxcompress.cli.formats.onnx_graph import Model
from jaxcompress.cli.formats.onnx_tensors import OnnxTensor
from jaxcompress.cli.formats.splices import Edit, Places, Splice, copy, splices
from jaxcompress.cli.outputs import Load, check_output
from jaxcompress.cli.status import Refused
from jaxcompress.text import shortened


class OnnxSource(FlatSource):
    """Initializers of a model and of its inner graphs, and constants of several floats.

    Attributes:
        files: that are read.
        tensors: by name.
    """

    def __init__(self, path: Path) -> None:
        """Read the graph."""
        model = Model(path)
        self.tensors = model.tensors
        super().__init__(path, {name: tensor.spec for name, tensor in model.tensors.items()})
        beside = dict.fromkeys(t.extent.path for t in model.tensors.values() if t.location)
        self.files = [path, *beside]
        self._axes = output_axes(model)
        self._left_out = {"strings": model.strings, "sparse tensors": model.sparse}

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Let another process open the file itself."""
        return type(self), (self.path,)

    def channel_axis(self, index: int) -> int:
        """Return the axis of outputs of a tensor."""
        return self._axes.get(self.paths[index], -1)

    def load(self, index: int) -> np.ndarray:
        """Read one tensor."""
        tensor = self.tensors[self.paths[index]]
        with reading(tensor.extent.path):
            return tensor.load()

    def sample(self, index: int) -> bytes:
        """Read the first bytes of one tensor, as they are stored."""
        name = self.paths[index]
        return self.tensors[name].extent.sample(name)


def onnx_source(path: Path) -> OnnxSource:
    """Return the tensors of a model, and say what is left out.

    Raises:
        ArtifactError: the model is damaged, or has numbers outside of its folder.
        Refused: tensors that cannot be stored.
    """
    source = OnnxSource(path)
    for what, count in source._left_out.items():
        if count:
            screen.note(f"{path}: left out, since they are in the graph alone: {count} {what}")
    return source


def write_onnx(path: Path, like: Path, specs: Mapping[str, Any], load: Load) -> int:
    """Write a model with other numbers; returns the size of its files in bytes.

    Numbers that the model keeps in files beside it are written to files beside the output, which
    is called `NAME.data`, and `NAME.1.data` and so on if there are several.

    Args:
        path: file to write.
        like: the model with the graph.
        specs: shape and dtype by name.
        load: gives each tensor, in the order of `specs`.

    Raises:
        Refused: tensors are missing, or of other shapes than the model says.
        ArtifactError: the model is damaged.
    """
    source = OnnxSource(like)
    tensors = source.tensors
    _check_same(path, like, tensors, specs)
    beside = {
        file: path.with_name(f"{path.name}.{number}.data" if number else f"{path.name}.data")
        for number, file in enumerate(source.files[1:])
    }
    targets = {like: path} | beside
    for target in targets.values():
        for file in source.files:
            check_output(target, file, named=True)
    held: dict[str, bytes] = {}  # of other lengths than before, which come before the numbers
    for name, tensor in tensors.items():
        if tensor.packed:
            held[name] = bytes(tensor.stored(load(name)))
    edits = [
        Edit(t.field, t.parents, held.get(name) or beside[t.extent.path].name.encode())
        for name, t in tensors.items()
        if t.field is not None and (t.packed or t.location is not None)
    ]
    later = [name for name in specs if name not in held and tensors[name].extent.size]
    changes: dict[Path, list[Splice]] = {file: [] for file in source.files}
    changes[like] += splices(edits)
    for extent in (tensors[name].extent for name in later):
        changes[extent.path].append(Splice(extent.start, extent.start + extent.size, None))
    with contextlib.ExitStack() as stack:
        # The files beside are in place before the model that names them.
        outputs = {file: stack.enter_context(atomic_file(to)) for file, to in targets.items()}
        for file, output in outputs.items():
            copy(file, output, changes[file])
        places = {file: Places(found) for file, found in changes.items()}
        for name in later:
            extent = tensors[name].extent
            outputs[extent.path].seek(places[extent.path](extent.start))
            outputs[extent.path].write(tensors[name].stored(load(name)))
    return sum(target.stat().st_size for target in targets.values())


def _check_same(
    path: Path, like: Path, tensors: Mapping[str, OnnxTensor], specs: Mapping[str, Any]
) -> None:
    """Refuse tensors that the model does not have, lack those that it has, or are others."""
    for name in sorted({*tensors, *specs}):
        expected = _said(tensors[name].spec) if name in tensors else "no such tensor"
        found = _said(specs[name]) if name in specs else "none"
        if expected != found:
            raise Refused(
                f"{path}: {shortened(name)}: must be as in {like}: {expected}, got {found}; name "
                "the model that was packed with --like."
            )


def _said(spec: Any) -> str:
    return f"{np.dtype(spec.dtype).name}{list(spec.shape)}"
