"""A network with everything to use it on pictures; it is part of the compressed file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxcompress.checks import check_fits
from jaxcompress.nnx import Net, Params, Stats
from jaxcompress.prune import count_blocks, drop_blocks
from jaxcompress.scopes import named_leaves
from nets.families import with_sizes
from pipelines.models.table import MODELS, Inputs, Model, Shape

MOST_PICTURE_SIZE = 4096  # the most that a file may ask for


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A network, and the meaning of its logits.

    Attributes:
        model: name of the network.
        classes: names of the classes; logit `i` belongs to `classes[i]`.
        image_size: height and width of the input images, in pixels.
        branches: the inputs that it fuses; empty for a network whose only input is the picture.
        picture_size: height and width of the training pictures, in pixels, from which the images
            are made.
        data: name of the training dataset.
        notice: a notice about that dataset to show with every answer, or empty.
        sizes: of the network, by field of its configuration, as JSON; sizes that are not named are
            the model's own.
    """

    model: str
    classes: tuple[str, ...]
    image_size: int
    branches: tuple[str, ...]
    picture_size: int
    data: str
    notice: str = ""
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """The facts that the sizes of the model depend on."""
        return Shape(len(self.classes), self.image_size, self.branches)

    @cached_property
    def net(self) -> Net:
        """The network."""
        return self._model.build(self.shape, self.sizes)

    def blank(self) -> tuple[Params, Stats]:
        """Return shapes and dtypes of its parameters and statistics; nothing is computed."""
        return jax.eval_shape(self.net.init, jax.random.key(0))

    def inputs(self, pictures: np.ndarray) -> Inputs:
        """Return the inputs of the network for pictures uint8 `[n, h, w, 3]`, on the host."""
        return self._model.inputs(pictures, self.image_size)

    def view(self, inputs: Inputs) -> Any:
        """Return inputs as the floats of the network, on the device."""
        return self._model.view(inputs)

    def check(self, params: Params, stats: Stats) -> None:
        """Refuse arrays that this network does not run on; units and blocks may be removed.

        Raises:
            ValueError: other leaves, other dtypes, or sizes that no cut gives.
        """
        blank = self._as_deep_as(params)
        given, like = named_leaves((params, stats)), named_leaves(blank)
        if given.paths != like.paths:
            check_fits("file", (params, stats), "the network", blank)
        if jax.tree.structure((params, stats)) != jax.tree.structure(blank):
            raise ValueError("other containers than the network's")
        for path, mine, full in zip(like.paths, given.leaves, like.leaves, strict=True):
            fits = len(mine.shape) == len(full.shape) and all(
                0 < size <= most for size, most in zip(mine.shape, full.shape, strict=True)
            )
            if not fits or mine.dtype != full.dtype:
                raise ValueError(
                    f"{path}: must be {full.dtype} of at most {full.shape}, got {mine.dtype} of "
                    f"{mine.shape}"
                )
        picture = np.zeros((1, self.picture_size, self.picture_size, 3), np.uint8)
        try:
            found = jax.eval_shape(self.apply, params, stats, self.inputs(picture))
        except Exception as error:  # any error of JAX and Flax for sizes that do not fit
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"sizes at which the network does not run: {reason}") from error
        if found.shape != (1, len(self.classes)):
            raise ValueError(f"gives {found.shape[1:]} logits for {len(self.classes)} classes")

    def _as_deep_as(self, params: Params) -> tuple[Params, Stats]:
        """Return `blank` with as many blocks as `params` has."""
        blank = self.blank()
        if not self.blocks:
            return blank
        depth = min(count_blocks(tree, self.blocks) for tree in (params, blank))
        return drop_blocks(blank, self.blocks, keep=range(depth))

    def apply(self, params: Params, stats: Stats, inputs: Inputs) -> jax.Array:
        """Return logits; JAX can trace it."""
        return self.net.apply(params, stats, self.view(inputs))

    @property
    def blocks(self) -> str:
        """Path in the parameters to blocks that can be dropped; empty if there are none."""
        return self._model.blocks

    @property
    def _model(self) -> Model:
        return MODELS[self.model]

    def as_metadata(self) -> dict[str, Any]:
        """Return the input of `from_metadata`, as JSON."""
        fields = asdict(self) | {"classes": list(self.classes), "branches": list(self.branches)}
        if not fields["sizes"]:
            del fields["sizes"]  # older files do not have this field
        return fields

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Classifier":
        """Return the classifier that a compressed file describes.

        Raises:
            ValueError: The metadata are not of a file that `run.py` wrote.
        """
        fields: dict[str, Any] = {"sizes": {}} | dict(metadata)
        model = MODELS.get(str(fields.get("model")))
        for name in ("classes", "branches"):
            fields[name] = _names(fields.get(name))
        if (
            fields.keys() != cls.__annotations__.keys()
            or model is None
            or not all(type(fields[name]) is int for name in ("image_size", "picture_size"))
            or not 2 <= fields["picture_size"] <= MOST_PICTURE_SIZE
            or fields["image_size"] not in model.image_sizes
            or not fields["classes"]
            or not _suits(fields["branches"], model.branches)
            or not all(isinstance(fields[name], str) for name in ("data", "notice"))
            or not isinstance(fields["sizes"], dict)
            or metadata.get("sizes") == {}
        ):
            raise ValueError("its metadata describe no classifier")
        found = cls(**fields)
        with_sizes(model.config(found.shape), found.sizes)  # a check, before anything is built
        return found


def _suits(branches: tuple[str, ...] | None, available: tuple[str, ...]) -> bool:
    """Return whether these are some of the available branches, if any are available."""
    return (
        branches is not None
        and set(branches) <= set(available)
        and (bool(branches) == bool(available))
    )


def _names(value: Any) -> tuple[str, ...] | None:
    """Return a list of strings as a tuple; None for anything else."""
    if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    return None
