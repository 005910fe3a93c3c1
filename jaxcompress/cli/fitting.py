"""`pack --apply`: levels that are chosen by running the network on inputs."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxcompress.artifact.outline import fill
from jaxcompress.artifact.writer import encoded, write
from jaxcompress.bounds import check_positive
from jaxcompress.cli.calibration import arrays_of
from jaxcompress.cli.pack_options import check_alone
from jaxcompress.cli.packed_file import Check, Packed
from jaxcompress.cli.status import Refused
from jaxcompress.oneshot import output_error
from jaxcompress.oneshot.calibrated import calibrated, in_full, within
from jaxcompress.oneshot.outcomes import Report
from jaxcompress.oneshot.rules import Treatments
from jaxcompress.oneshot.stream import Pruning
from jaxcompress.quantization import calibrate_weights
from jaxcompress.trees import PyTree, named_leaves

DAMAGE = 0.01
"""Squared relative error of the outputs to aim at, if nothing else is said."""

_ROWS = 32  # of a batch
_FEW, _HELD_OUT = 5, 10  # of so many batches, the last tenth says how far outputs are off

_RULES = ("exclude", "rules")  # options that say something of single tensors

Batches = list[tuple[np.ndarray, ...]]


class Fit(NamedTuple):
    """What is asked for.

    Attributes:
        apply: `MODULE:FUNCTION`, called with the tree that `load` returns for the file, and with
            the arrays of the inputs in their order.
        inputs: `.npz`; the first axis of each array counts samples.
        damage: squared relative error of the outputs to aim at, if no size is given.
        size: most bytes of the file; None for the damage.
    """

    apply: str
    inputs: Path
    damage: float
    size: int | None


class Distance(NamedTuple):
    """How far outputs are from those of the original.

    Attributes:
        error: relative error of the outputs.
        rows: rows of the inputs on which it was measured.
        is_held_out: whether levels were chosen without these rows.
        no_curvature: why tables were rounded to the nearest; empty if they were not.
    """

    error: float
    rows: int
    is_held_out: bool
    no_curvature: str = ""


def fit_asked(
    apply: str | None,
    inputs: Path | None,
    *,
    damage: float | None,
    size: int | None,
    others: Mapping[str, Any],
) -> Fit | None:
    """Return what `--apply` and the options beside it ask for; None without it.

    Args:
        apply: `--apply`.
        inputs: `--calibrate`.
        damage: `--damage`.
        size: `--target-size`.
        others: options that say in other ways what becomes of weights, by name.

    Raises:
        Refused: options that do not go together, naming one.
        ValueError: a damage that is not above 0.
    """
    if damage is not None and (apply is None or size):
        raise Refused("--damage: goes with --apply, without --target-size; leave one of them out.")
    if apply is None:
        return None
    if inputs is None:
        raise Refused("--apply: needs inputs to run on; pass --calibrate INPUTS.npz.")
    check_alone(
        "--apply: chooses levels by what they do to outputs",
        {option: value for option, value in others.items() if option not in _RULES},
    )
    aim = DAMAGE if damage is None else check_positive("--damage", damage, "pass 0.01, say")
    return Fit(apply, inputs, aim, size)


def write_fitted(
    output: Path,
    pruning: Pruning,
    treatments: Treatments,
    fit: Fit,
    layout: str,
    metadata: Mapping[str, Any],
    check: Check,
) -> tuple[Packed, Distance]:
    """Write a file whose levels change the outputs of a function little.

    Args:
        output: the file.
        pruning: which weights are kept, and where they come from.
        treatments: of tensors with rules.
        fit: what is asked for.
        layout: of the file.
        metadata: of the file.
        check: raises what is wrong with the report.

    Raises:
        Refused: a function or inputs that cannot be used.
        ValueError: no file fits.
    """
    function, batches = _function(fit.apply), _batches(fit.inputs)
    apart = max(len(batches) // _HELD_OUT, 1) if len(batches) >= _FEW else 0
    used, held_out = batches[: len(batches) - apart], batches[len(batches) - apart :]
    source = pruning.source
    tree = fill(source.outline, [source.load(index) for index in range(len(source.paths))])
    if named_leaves(tree).paths != source.paths:
        raise Refused(
            "--apply: tensors must have one path each, got some that share one; rename them."
        )
    chosen = {source.paths[index] for index in pruning.chosen}
    with _running(fit):
        found = calibrate_weights(function, tree, used, scope=lambda path, leaf: path in chosen)
    weights = calibrated(pruning, treatments, found)

    def write_to(path: Path, leaves: Sequence[tuple[str, Any]]) -> int:
        parts = encoded(leaves, source.leaves, layout)
        return write(path, parts, source.outline, metadata=metadata)

    leaves, outcomes = (
        weights.leaves(fit.damage) if fit.size is None else within(weights, fit.size, write_to)
    )
    check(Report(outcomes))
    judged = held_out or used
    small = fill(source.outline, in_full(leaves))
    with _running(fit):
        error = output_error(function, tree, small, judged)
    packed = Packed(write_to(output, leaves), Report(outcomes))
    rows = sum(len(batch[0]) for batch in judged)
    return packed, Distance(error, rows, bool(held_out), found.no_curvature)


@contextlib.contextmanager
def _running(fit: Fit) -> Iterator[None]:
    """Refuse whatever the user's function raises."""
    try:
        yield
    except Exception as error:
        what = f"{fit.apply} must run on {fit.inputs}"
        raise Refused(f"--apply: {what}, got {_said(error)}") from error


def _function(entry: str) -> Callable[..., PyTree]:
    module, colon, name = entry.partition(":")
    if not (module and colon and name):
        raise Refused(f"--apply: must be MODULE:FUNCTION, got {entry!r}; pass model:apply, say.")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises
        raise Refused(f"--apply: {entry} must be importable here, got {_said(error)}") from error
    finally:
        if here in sys.path:
            sys.path.remove(here)
    if not callable(found):
        raise Refused(f"--apply: {entry} must be a function, got {type(found).__name__}.")
    return found


def _batches(inputs: Path) -> Batches:
    arrays = [*arrays_of(inputs).values()]
    lengths = {len(array) if array.ndim else 0 for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise Refused(
            f"{inputs}: arrays must have as many samples each along their first axis, got "
            f"{sorted(lengths) or 'none'}; save them with numpy.savez."
        )
    (rows,) = lengths
    count = -(-rows // _ROWS)  # of all parts of the file in each: samples may be sorted
    return [tuple(array[start::count] for array in arrays) for start in range(count)]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
