"""The tensors that a file of `torch.save` names; needs the extra `torch`, imported on first use.

PyTorch reads the pickle, and only its reader of weights, which runs nothing that the file says.
"""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.artifact.regular import check_regular
from jaxcompress.cli import screen
from jaxcompress.cli.refusals import check_memory, check_names
from jaxcompress.cli.status import Refused
from jaxcompress.errors import ArtifactError
from jaxcompress.extras import library
from jaxcompress.text import shortened
from jaxcompress.trees import some_of

_MOST_VALUES, _MOST_DEPTH = 500_000, 64
_FOREIGN = re.compile(r"(?:GLOBAL|global:?|type|class) `*([A-Za-z_][\w.]*\.[\w.]+)")
"""How its messages name what a pickle wants to call."""


def tensors(path: Path, *, with_numbers: bool) -> dict[str, Any]:
    """Return the tensors of a file by name; keys of nested containers are joined by slashes.

    Args:
        path: of the file.
        with_numbers: whether to read their numbers too; a tensor without them knows where they are.

    Raises:
        MissingLibraryError: PyTorch is missing.
        Refused: the pickle holds more than tensors and plain values, or no tensor.
        ArtifactError: the file is damaged.
    """
    torch = library("torch", str(path), extra="torch")
    found: dict[str, Any] = {}
    names, others = [], []
    leaves = list(_leaves(path, _loaded(path, torch, with_numbers=with_numbers)))  # not too many
    for name, value in leaves:
        if isinstance(value, torch.Tensor):
            names.append(name)
            found[name] = _checked(path, name, value.detach(), torch)
        else:
            others.append(name)
    check_names(path, names)
    if not found:
        raise Refused(f"{path}: must hold tensors, got none; save the state dict of the network.")
    if others:
        screen.note(f"{path}: left out, since they are no tensors: {some_of(others)}")
    return found


def numbers(tensor: Any, dtype: Any) -> np.ndarray:
    """Return the numbers of a tensor, without a copy; numpy knows some dtypes by their bits."""
    tensor = tensor.resolve_conj().resolve_neg()
    if np.dtype(dtype).isbuiltin != 1:
        bits = f"uint{8 * np.dtype(dtype).itemsize}"
        tensor = tensor.view(getattr(library("torch", "numbers", extra="torch"), bits))
    return tensor.numpy().view(dtype)


def _loaded(path: Path, torch: Any, *, with_numbers: bool) -> Any:
    fake = library("torch._subclasses.fake_tensor", str(path), extra="torch")
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    without = contextlib.nullcontext() if with_numbers else fake.FakeTensorMode()
    try:
        with warnings.catch_warnings(action="ignore"), without:
            return torch.load(path, weights_only=True, map_location="cpu")
    except OSError:
        raise
    except Exception as error:  # PyTorch raises many kinds of errors
        message = str(error)
    if not with_numbers and _speaks_of_others(message):
        check_memory(path, None, 2 * check_regular(path))
        _check_dense(path, torch, _loaded(path, torch, with_numbers=True))
    raise _said(path, message)


def _speaks_of_others(message: str) -> bool:
    """Return whether PyTorch could not read a tensor that is not dense without its numbers."""
    return any(
        word in message for word in ("parse", "uantized", "compressed", "shape_env", "nested")
    )


def _check_dense(path: Path, torch: Any, tree: Any) -> None:
    for name, value in _leaves(path, tree):
        if isinstance(value, torch.Tensor):
            _checked(path, name, value, torch)


def _said(path: Path, message: str) -> Exception:
    """Return the error for what PyTorch says of a file."""
    foreign = _FOREIGN.search(message)
    if foreign or "TorchScript" in message:
        what = foreign[1] if foreign else "a program of TorchScript"
        return Refused(
            f"{path}: must hold tensors and plain values, got {shortened(what)}, which is never "
            "run; save the state dict with safetensors."
        )
    if _speaks_of_others(message):
        return Refused(
            f"{path}: tensors must be dense, got quantized, sparse or nested ones; save "
            "tensor.to_dense(), or tensor.dequantize()."
        )
    first = message.strip().partition("\n")[0]
    return ArtifactError("not a whole file of PyTorch", file=str(path), found=shortened(first))


def _checked(path: Path, name: str, tensor: Any, torch: Any) -> Any:
    """Refuse a tensor that is not an array of numbers."""
    other = remedy = ""
    if tensor.is_nested:
        other, remedy = "a nested tensor", "the tensors of tensor.unbind()"
    elif tensor.is_quantized:
        other, remedy = f"a quantized tensor of {tensor.dtype}", "tensor.dequantize()"
    elif tensor.layout != torch.strided:
        other, remedy = f"a tensor of layout {tensor.layout}", "tensor.to_dense()"
    if other:
        raise Refused(f"{path}: {name}: must be dense, got {other}; save {remedy} instead.")
    if tensor.device.type != "cpu":
        raise Refused(
            f"{path}: {name}: must have numbers, got a tensor of the device {tensor.device}; save "
            "it from a device that has memory."
        )
    return tensor


def _leaves(path: Path, tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is no container, in the order of the file, with its name.

    Containers may hold one another any number of times: a few hundred bytes can describe more
    values than there is memory for.
    """
    waiting, seen = [((), tree)], 0
    while waiting:
        keys, value = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES or len(keys) > _MOST_DEPTH:
            raise ArtifactError(
                "too many values, or nested too deep",
                file=str(path),
                expected=f"<= {_MOST_VALUES} values, {_MOST_DEPTH} deep",
            )
        if isinstance(value, dict):
            waiting += [((*keys, key), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list | tuple):
            waiting += [((*keys, key), value[key]) for key in range(len(value) - 1, -1, -1)]
        else:
            yield "/".join(map(str, keys)), value
