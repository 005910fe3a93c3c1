"""The networks of a run: its model and the students of the model."""

import dataclasses

from pipelines.data import Dataset
from pipelines.models.capacity import student_sizes
from pipelines.models.classifier import Classifier
from pipelines.models.devices import ALONE, Devices
from pipelines.models.train import make_logits
from pipelines.options.settings import Settings


class Network:
    """A classifier whose logits are compiled once.

    Attributes:
        classifier: the network, and the meaning of its logits.
        logits: `logits(params, stats, inputs)`, over any number of rows.
        devices: that divide each batch.
    """

    def __init__(self, classifier: Classifier, devices: Devices = ALONE) -> None:
        self.classifier, self.devices = classifier, devices
        self.logits = make_logits(classifier.net, classifier.view, devices=devices)


def networks_of(plan: Settings, dataset: Dataset, devices: Devices = ALONE) -> list[Network]:
    """Return the model of a plan, followed by its students."""
    whole = Classifier(
        model=plan.model,
        classes=dataset.classes,
        image_size=plan.image_size,
        branches=plan.get("branches", ()),
        picture_size=dataset.train.images.shape[1],
        data=dataset.name,
        notice=dataset.nature,
    )
    sizes = ({}, *student_sizes(plan, len(dataset.classes)))
    return [Network(dataclasses.replace(whole, sizes=given), devices) for given in sizes]
