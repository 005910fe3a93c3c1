"""Files beside a model: in its folder, and not somewhere else by a link."""

import os
from pathlib import Path


def is_inside(folder: Path, path: Path) -> bool:
    """Return whether a file is in a folder, also behind all links.

    In the cache of the Hugging Face hub links lead from `snapshots` to `blobs`, which is allowed.
    """
    home, found = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    snapshots = [each for each in (home, *home.parents) if each.parent.name == "snapshots"]
    blobs = [each.parents[1] / "blobs" for each in snapshots]
    return any(found.is_relative_to(each) for each in (home, *blobs))
