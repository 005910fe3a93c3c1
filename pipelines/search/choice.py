"""The front of a search, the member of it that is trained in full, and the file of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import FolderError
from pipelines.search.costs import key_of, read_kept, write_kept
from pipelines.search.front import front
from pipelines.search.halving import Trial, spent


def front_of(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other beats in bytes, time and quality, the smallest file first.

    Members that diverged are none of them. The quality of each is that after its own last training:
    those that were trained longer have an advantage.
    """
    sound = [trial for trial in trials if not trial.diverged]
    best = [sound[place] for place in front([trial.point() for trial in sound])]
    return sorted(best, key=lambda trial: trial.size_bytes)


def best_of(found: Sequence[Trial], least: float | None) -> Trial:
    """Return the member of a front that is trained in full.

    Args:
        found: the front, not empty; all are within the budget of bytes and speed.
        least: accuracy that is enough; None for the highest.

    Returns:
        The most accurate one, of equal ones that of the least loss; with `least` the smallest file
        of those that are accurate enough, if any is.
    """
    enough = [t for t in found if least is not None and (t.results[-1].accuracy or 0) >= least]
    if enough:
        return min(enough, key=lambda trial: trial.size_bytes)

    def quality(trial: Trial) -> tuple[float, float]:
        accuracy, loss = trial.results[-1]
        assert accuracy is not None and loss is not None
        return accuracy, -loss

    return max(found, key=quality)


def diverged(trials: Sequence[Trial]) -> list[str]:
    """Return the names of members whose loss was not finite."""
    return [key_of(trial.candidate.sizes) for trial in trials if trial.diverged]


def write_front(
    path: Path,
    trials: Sequence[Trial],
    chosen: Trial,
    *,
    images_per_epoch: int,
    validation_images: int,
) -> None:
    """Write all members that were tried, the front, and the member that was chosen, as JSON."""
    write_kept(
        path,
        {
            "trials": len(trials),
            "diverged": diverged(trials),
            "images_trained_on": spent(trials) * images_per_epoch,
            "validation_images": validation_images,
            "chosen": chosen.candidate.sizes,
            "front": [as_json(trial) for trial in front_of(trials)],
            "tried": [as_json(trial) for trial in trials],
        },
    )


def as_json(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON."""
    return {
        "sizes": trial.candidate.sizes,
        "size_bytes": trial.size_bytes,
        "milliseconds": round(trial.speed.milliseconds, 4),
        "speedups": {name: round(x, 3) for name, x in trial.speed.speedups.items()},
        "accuracy": trial.results[-1].accuracy,
        "loss": trial.results[-1].loss,
        "epochs": trial.epochs,
    }


def chosen_in(path: Path) -> Mapping[str, Any]:
    """Return the sizes of the member that was chosen.

    Raises:
        FolderError: the file is missing, damaged or of something else.
    """
    found = read_kept(path, {}).get("chosen")
    if not isinstance(found, dict):
        raise FolderError(f"{path}: names no network; start again with another --out.")
    return found
