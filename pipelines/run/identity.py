"""What two runs must have in common, so that one goes on where the other stopped."""

from typing import Any

from pipelines.data import Dataset
from pipelines.models.capacity import student_sizes
from pipelines.options.plan import recorded
from pipelines.options.settings import Settings

FORMAT = 2


def identity(plan: Settings, dataset: Dataset) -> dict[str, Any]:
    """Return the content of `settings.json`: the options used, and what they led to."""
    sizes = student_sizes(plan, len(dataset.classes))
    return {
        "format": FORMAT,
        **recorded(plan),
        **({"student_sizes": list(sizes)} if sizes else {}),
        "data_fingerprint": dataset.fingerprint,
    }
