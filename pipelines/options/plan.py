"""The plan of a run: settings with all choices made."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_RECORDED = {
    "step_size": "step",
    "remove_channels": "channels",
    "rounds": "steps",
    "keep_blocks": "blocks",
    "times_smaller": "target_ratio",
}
"""Names of settings in files of version 1 that have another name now."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings that decide the result of a run.

    Attributes:
        model: name of the network.
        data: name of the dataset.
        recipe: name of the recipe.
        sparsity: fraction of the kernels' weights to remove; 0 where the recipe prunes nothing.
        quantizer: name of the quantizer; None where the recipe shares nothing.
        clusters: values of a layer besides zero; 0 where nothing uses it.
        step_size: distance of shared values in the largest layer, in root mean squares of all
            non-zero weights; 0 where nothing uses it.
        remove_channels: fraction of the units of each group to remove; 0 where the recipe cuts
            nothing.
        rounds: of cutting and fine-tuning; 0 where the recipe cuts nothing.
        round_to: the number of kept units of a group is a multiple of this, if it has as many.
        keep_blocks: number of blocks to keep; 0 where the recipe drops none.
        group_lasso: strength of the penalty before the cuts; 0 for none.
        image_size: height and width of the input images, in pixels.
        branches: the inputs that it fuses; empty for a network whose only input is the picture.
        epochs: passes of the first training, and of each student's lesson.
        finetune_epochs: passes of fine-tuning after pruning.
        batch_size: images in a step.
        lr: peak learning rate.
        seed: of the initial weights and the order of the images.
        limit: training images used; None for all.
        control: whether the dense network is trained on as a control.
        layout: of the compressed files.
        bits: of the inputs of layers; 0 where the recipe rounds nothing.
        weight_bits: of weights; 0 where the recipe rounds nothing.
        start: a file of a run, whose network replaces the first training, or None.
        times_smaller: parameters of the model over those of the last student; 0 where there is
            none.
        temperature: of the softened logits that students learn from; 0 where there is none.
        soft_weight: weight of the teacher's term in a student's loss; 0 where there is none.
        students: sizes of each student, the last the smallest; each teaches the next.
    """

    model: str
    data: str
    recipe: str
    sparsity: float
    quantizer: str | None
    clusters: int
    step_size: float
    remove_channels: float
    rounds: int
    round_to: int
    keep_blocks: int
    group_lasso: float
    image_size: int
    branches: tuple[str, ...]
    epochs: int
    finetune_epochs: int
    batch_size: int
    lr: float
    seed: int
    limit: int | None
    control: bool
    layout: str
    bits: int
    weight_bits: int
    start: str | None
    times_smaller: float
    temperature: float
    soft_weight: float
    students: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the plan for a file, and for comparing two runs."""
        lists = {"branches": list(self.branches), "students": list(self.students)}
        settings = dataclasses.asdict(self) | lists
        return {_RECORDED.get(name, name): value for name, value in settings.items()}
