"""A trained network of a file in place of the first training: `--start`."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import jaxcompress as jc
from jaxcompress.errors import ArtifactError, MissingLibraryError
from nets.students import parameters_in
from pipelines.errors import FolderError, SettingsError
from pipelines.models.classifier import Classifier
from pipelines.options.settings import Settings
from pipelines.stages.stage import Work


def read_start(path: Path, wanted: Classifier) -> Work:
    """Read the network of a compressed file.

    Raises:
        FolderError: the file is missing or damaged, or holds another network.
    """
    try:
        tree, metadata = jc.load(path), jc.inspect(path)["metadata"]
        found = Classifier.from_metadata(metadata)
        for what in ("model", "classes", "image_size", "branches", "sizes"):
            mine, needed = getattr(found, what), getattr(wanted, what)
            if mine != needed:
                raise ValueError(f"its {what} must be {_brief(needed)}, got {_brief(mine)}")
        params, stats = tree["params"], tree.get("stats", {})
        wanted.check(params, stats)
    except (OSError, ArtifactError, MissingLibraryError) as error:
        raise FolderError(f"--start: {error}; pass a compressed.npz of run.py.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"{path} holds another network ({error})"
        raise FolderError(
            f"--start: {why}; pass a compressed.npz of this model and data."
        ) from None
    return Work(params, stats)


def check_start(plan: Settings, networks: Sequence[Classifier]) -> None:
    """Refuse a start from which a plan cannot continue, before anything is written.

    Units and blocks of it may be removed, so that it has fewer blocks than the plan keeps, or that
    a student is larger than its teacher.

    Args:
        plan: of the run.
        networks: the model, followed by its students.

    Raises:
        FolderError: as `read_start` does.
        SettingsError: the start is smaller than the result of the plan.
    """
    if "start" not in plan:
        return
    whole, *students = networks
    params = read_start(plan.start, whole).params
    keep = plan.get("keep_blocks", 0)
    depth = jc.prune.count_blocks(params, whole.blocks) if keep else 0
    if keep > depth:
        raise SettingsError(
            f"--keep-blocks: must be at most the {depth} blocks of --start, got {keep}."
        )
    if students:
        mine, largest = parameters_in(params), parameters_in(students[0].blank()[0])
        if largest >= mine:
            raise SettingsError(
                f"--times-smaller: the first student has {largest:,} parameters, and its teacher, "
                f"of --start, only {mine:,}; pass a larger one, or fewer --students."
            )


def _brief(value: Any) -> str:
    return shorten(str(value), 60)
