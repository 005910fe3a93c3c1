"""Sizes of files on the command line: `400KB`, `1.5MiB`, `250000`."""

import re
from typing import Any

import click

from jaxcompress.artifact.memory import default_max_bytes

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class Size(click.ParamType):
    """A number of bytes, with an optional unit: KB and MB are powers of 1000, KiB of 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(|k|m|g|ki|mi|gi)b?", value.strip().lower())
        count = int(float(found[1]) * _UNITS[found[2]]) if found else 0
        if not count:
            self.fail(
                f"must be a size above zero, got {value!r}; write 400KB, 1.5MiB or 250000.",
                param,
                ctx,
            )
        return count


MAX_SIZE = click.option(
    "--max-size",
    type=Size(),
    help="Refuse files that need more memory than this, for streams, tensors and the work on them.",
)


def limit_of(max_size: int | None) -> int:
    """Return the given limit, or that of the library."""
    return default_max_bytes() if max_size is None else max_size
