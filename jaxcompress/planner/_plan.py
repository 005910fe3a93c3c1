"""A plan as data: what becomes of each layer, what was asked for, and what is predicted."""

import itertools
import os
from typing import Any, NamedTuple

from jaxcompress.artifact import inspect
from jaxcompress.bounds import check_positive, check_size
from jaxcompress.planner._kinds import BY_NAME, NUMBER, TEXT, TEXTS, TRUTH, is_of
from jaxcompress.planner._prediction import Prediction
from jaxcompress.planner._record import OF_WEIGHTS, Settings, Speed
from jaxcompress.planner._text import as_json, fields_of, read_fields, write
from jaxcompress.planner._words import number, words_of
from jaxcompress.text import as_html, json_digest, shortened, table_lines


class Budget(NamedTuple):
    """What is asked for; None where nothing is.

    Attributes:
        size_bytes: of the file, at most.
        speedup: times faster than the whole network, at least, at each batch size of the task.
        drop: loss of quality, at most.
    """

    size_bytes: float | None = None
    speedup: float | None = None
    drop: float | None = None


class Plan(NamedTuple):
    """What becomes of each layer; `print` shows it.

    Attributes:
        network: digest, as of the profile.
        name: of the network of the profile that is made.
        cut: what it keeps: `{}`, `{"units": {group: count}}` or `{"blocks": [place]}`.
        settings: by path, in the words of `rules` of `compress`, or "leave".
        half: whether vectors and small tensors have sixteen bits where that is enough.
        budget: what was asked for.
        size_bytes: of the file, as predicted.
        latency: as predicted.
        damage: as predicted.
        drop: the loss of quality before fine-tuning, as predicted; None where nothing was
            evaluated.
        metric: what damages are, as in the profile.
        is_trained: whether fine-tuning follows.
        learning_rate: of fine-tuning; None without.
        why: why this network and not another one, a line each.
        stamp: of cut and settings as they were planned: it tells whether a person has changed them.
    """

    network: str
    name: str
    cut: dict[str, Any]
    settings: dict[str, Settings | str]
    half: bool
    budget: Budget
    size_bytes: float
    latency: list[Speed]
    damage: float
    drop: Prediction | None
    metric: str
    is_trained: bool
    learning_rate: float | None
    why: list[str]
    stamp: str

    @property
    def is_edited(self) -> bool:
        """Whether a person has changed what it does: then its predictions are of another plan."""
        return stamp_of(self) != self.stamp

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a text file that may be edited and read again by `read_plan`."""
        write(path, _KIND, self)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, as `save` writes it, for `made=` of `ship`."""
        return as_json(_KIND, self)

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        """Return what happens to which layer, what is predicted, and why."""
        units = [(group, f"keep {kept} units") for group, kept in self.cut.get("units", {}).items()]
        blocks = [("blocks", f"keep {kept}") for kept in [self.cut.get("blocks")] if kept]
        rows = [*units, *blocks, *((p, words_of(each)) for p, each in self.settings.items())]
        lines = table_lines(rows, left=2) if rows else []
        lines.append(f"predicted: {number(self.size_bytes)} bytes")
        lines += [
            f"  batch {t.batch_size}: {t.ms:.3g} ms, {t.speedup:.2f} times faster"
            for t in self.latency
        ]
        lines.append(f"  {self._quality()}")
        return "\n".join([*lines, *self.why])

    def _quality(self) -> str:
        if self.drop is not None:
            before = " before fine-tuning" if self.is_trained else ""
            return (
                f"quality lost{before}: {self.drop.drop:.3g}, with 90 % {self.drop.low:.3g} to "
                f"{self.drop.high:.3g}"
            )
        of = "weights" if self.metric == OF_WEIGHTS else "outputs"
        return f"quality not predicted: nothing was evaluated, damages are of {of}"


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan from a file.

    Args:
        path: of a file of `Plan.save`, or of `ship`, where that says how it was made. Nothing in it
            is executed.

    Raises:
        ValueError: it is none, or the file is damaged.
        OSError: it cannot be read.

    Example:
        >>> import tempfile, pathlib
        >>> import numpy as np
        >>> from jaxcompress.planner import Task, plan, profile
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> found = plan(profile(Task(None, {"w": weights})), size_bytes="3KB")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "plan.json")
        ...     found.save(path)
        ...     read_plan(path).settings == found.settings
        True
    """
    fields = _fields(path)
    try:
        drop = None if fields["drop"] is None else Prediction(**fields["drop"])
        latency = [Speed(**each) for each in fields["latency"]]
        found = Plan(
            **fields | {"drop": drop, "latency": latency, "budget": Budget(**fields["budget"])}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: must be a plan, got {error}; plan anew.") from None
    told = [*(found.drop or ()), *itertools.chain.from_iterable(found.latency)]
    if not all(type(value) in (int, float) and is_of(NUMBER, abs(value)) for value in told):
        raise ValueError(f"{path}: predictions must be numbers, got others; plan anew.")
    if not all(value is None or is_of(NUMBER, value) for value in found.budget):
        raise ValueError(f"{path}: budget must be numbers, got {found.budget}; correct it.")
    rate = found.learning_rate
    if rate is not None and not (is_of(NUMBER, rate) and rate > 0):
        raise ValueError(f"{path}: learning_rate must be above 0, got {rate!r}; correct it.")
    for field, kind in _KINDS.items():
        if not is_of(kind, value := getattr(found, field)):
            raise ValueError(
                f"{path}: {field} must be {kind}, got {shortened(repr(value))}; correct it, or "
                "plan anew."
            )
    return found


def _fields(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a plan, of a file of its own or of one with weights."""
    with open(path, "rb") as file:
        is_text = file.read(len(_ZIP)) != _ZIP
    if is_text:
        return read_fields(path, _KIND)
    program = inspect(path).get("program", {})

    def read() -> dict[str, Any]:
        made = program.get("made", {})
        return made.get("plan", made)

    return fields_of(path, _KIND, read)


_KIND, _ZIP = "plan", b"PK"
_KINDS = {
    **dict.fromkeys(("network", "name", "metric", "stamp"), TEXT),
    **dict.fromkeys(("cut", "settings"), BY_NAME),
    **dict.fromkeys(("half", "is_trained"), TRUTH),
    **dict.fromkeys(("size_bytes", "damage"), NUMBER),
    "why": TEXTS,
}
"""What each field of a plan is, where a person may have written something else."""


def checked_budget(
    size_bytes: int | str | None, speedup: float | None, drop: float | None
) -> Budget:
    """Return a budget, after the check of its values.

    Raises:
        ValueError: none is given, or one is out of range.
    """
    if size_bytes is None and speedup is None and drop is None:
        raise ValueError(
            "plan: needs a budget, got none; pass size_bytes, speedup, drop, or several."
        )
    return Budget(
        None if size_bytes is None else float(check_size("size_bytes", size_bytes)),
        None if speedup is None else check_positive("speedup", speedup, "2 is twice as fast"),
        None if drop is None else check_positive("drop", drop, "pass 1, say"),
    )


def stamp_of(plan: Plan) -> str:
    """Return the digest of what a plan does."""
    return json_digest([plan.cut, plan.settings, plan.half])
