"""What is to be compressed, and what is known about it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxcompress.bounds import check_positive, is_integer
from jaxcompress.quantization.damages import Damage
from jaxcompress.trees import PyTree
from jaxcompress.units import Rebuild

Apply = Callable[..., PyTree]

_USES = {
    "apply": "time and outputs",
    "example": "time and outputs",
    "loss": "fine-tuning",
    "train": "fine-tuning",
    "evaluate": "quality",
}
"""What each part of a task is for."""


@dataclass(frozen=True)
class Task:
    """A network, and what a planner may use to judge and to train it.

    What is missing limits what is planned: without `apply` and `example` weights alone are known;
    without `evaluate` no quality is predicted; without `loss` and `train` (or `fit`) nothing is
    fine-tuned.

    Attributes:
        apply: `apply(params, *inputs)` as for inference; None for weights alone.
        params: any pytree of concrete arrays; statistics of norms belong in it.
        example: inputs of one call. Damages are measured on them: some hundred rows make these
            precise.
        loss: `loss(apply, params, batch)`, a scalar that training lowers. Use the `apply` that is
            given: that of a smaller network may be another one.
        train: batches for `loss`, gone through once an epoch: a list, or an object that begins
            again each time. Without `loss` and `fit` their inputs are what rounding is fitted to,
            beside the example: a few hundred rows make files some percent smaller.
        evaluate: `evaluate(apply, params)`, the quality on held-out data; more is better. Its unit
            is that of `drop`: with an accuracy in percent a drop of 1 is a point.
        fit: `fit(apply, params, tx)`, your own training in place of `loss` and `train`: it returns
            the parameters after one round of training with the optax transform `tx`.
        rebuild: as in `unit_groups`, for code that checks its sizes.
        blocks: path of blocks in `params` that may be dropped, as in `drop_blocks`; "" for none.
        batches: batch sizes for which latency counts.
        epochs: of fine-tuning, all stages together.
        fits_rounding: whether weights are rounded so that the outputs of their layers on the
            example change little (`fit_rounding`), where nothing is trained afterwards.
        learning_rate: the highest of fine-tuning, for Adam with a cosine; None to choose the best
            of three by short trials.
        damage: from outputs and those of the whole network to a number, by which choices are
            compared: `relative_error`, `kl_divergence` of logits, or your own. None for the first,
            or for the second where outputs are those of a confident classifier and a few coarse
            roundings show that it tells the quality better.

    Example:
        >>> import numpy as np
        >>> Task(None, {"w": np.ones((2, 2))}).missing
        ['apply', 'example', 'loss', 'train', 'evaluate']
    """

    apply: Apply | None
    params: PyTree
    example: Sequence[PyTree] = ()
    loss: Callable[[Apply, PyTree, Any], Any] | None = None
    train: Iterable[Any] | None = None
    evaluate: Callable[[Apply, PyTree], Any] | None = None
    fit: Callable[[Apply, PyTree, Any], PyTree] | None = None
    rebuild: Rebuild | None = None
    blocks: str = ""
    batches: Sequence[int] = (1, 64)
    epochs: int = 10
    fits_rounding: bool = True
    learning_rate: float | None = None
    damage: Damage | None = None

    def __post_init__(self) -> None:
        """Refuse what is no example, batch sizes that are none, and training without end."""
        if not isinstance(self.example, (tuple, list)):
            raise TypeError(
                f"example: must be a tuple of inputs, got {type(self.example).__name__}; pass (x,)."
            )
        if not self.batches or not all(is_integer(n) and n >= 1 for n in self.batches):
            raise ValueError(
                f"batches: must be sizes of at least 1, got {self.batches}; pass (1, 64), say."
            )
        if not is_integer(self.epochs) or self.epochs < 1:
            raise ValueError(f"epochs: must be at least 1, got {self.epochs}; pass 10, say.")
        if self.learning_rate is not None:
            check_positive("learning_rate", self.learning_rate, "pass 0.001, say")
        if self.train is not None and iter(self.train) is self.train:
            raise TypeError(
                "train: must begin anew in each epoch, got an iterator that ends; pass a list."
            )

    @property
    def missing(self) -> list[str]:
        """Names of what is not given and cannot be replaced."""
        given = {
            "apply": self.apply,
            "example": self.example or None,
            "loss": self.loss or self.fit,
            "train": self.fit if self.train is None else self.train,
            "evaluate": self.evaluate,
        }
        return [name for name, value in given.items() if value is None]

    @property
    def limits(self) -> list[str]:
        """What cannot be planned, in words."""
        lacking = set(self.missing)
        return [
            f"no {' and '.join(n for n in _USES if _USES[n] == use and n in lacking)}: {words}"
            for use, words in _LIMITS.items()
            if any(_USES[name] == use for name in lacking)
        ]

    @property
    def is_run(self) -> bool:
        """Whether the network can be run on an example."""
        return not {"apply", "example"} & set(self.missing)

    @property
    def is_trained(self) -> bool:
        """Whether it can be fine-tuned."""
        return self.is_run and not {"loss", "train"} & set(self.missing)


def apply_of(task: Task) -> Apply:
    """Return the function of a task, or one that says what is missing when it is called."""
    return _missing if task.apply is None else task.apply


def _missing(params: PyTree, *inputs: PyTree) -> PyTree:
    del params, inputs
    raise ValueError("apply: is needed to run the network, got none; give the task one.")


_LIMITS = {
    "time and outputs": "damages are errors of the weights alone, nothing is cut or timed",
    "fine-tuning": "nothing is trained after a cut",
    "quality": "no quality is predicted",
}
