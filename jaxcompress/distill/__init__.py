"""Distillation: losses with which a student learns from a teacher, for any training loop.

From the bottom up: `_pairs` (student and teacher side by side), `_labels`, `_logits` (softened
logits), `_features`, `_relations`, `_cache` (the teacher's logits on disk).

    attention_transfer_loss   the difference of the attention maps of student and teacher
    cached_logits             the logits of a teacher, computed once and kept in a file
    distillation_loss         the loss of softened logits and of labels
    feature_matching_loss     the mean of `(P(student) - teacher)^2`
    Projection                `P`, from features of the student to the width of the teacher's
    relational_angle_loss     the difference of the angles between samples
    relational_distance_loss  the difference of the distances between samples
"""

from jaxcompress.distill._cache import cached_logits
from jaxcompress.distill._features import (
    Projection,
    attention_transfer_loss,
    feature_matching_loss,
)
from jaxcompress.distill._logits import distillation_loss
from jaxcompress.distill._relations import relational_angle_loss, relational_distance_loss

__all__ = [
    "Projection",
    "attention_transfer_loss",
    "cached_logits",
    "distillation_loss",
    "feature_matching_loss",
    "relational_angle_loss",
    "relational_distance_loss",
]
