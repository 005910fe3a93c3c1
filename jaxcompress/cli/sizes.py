"""Sizes of files on the command line: `400KB`, `1.5MiB`, `250000`."""

from typing import Any

import click

from jaxcompress.bounds import check_size


class Size(click.ParamType):
    """A number of bytes, with an optional unit: KB and MB are powers of 1000, KiB of 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        try:
            return check_size("size", value)
        except ValueError as error:
            self.fail(str(error).removeprefix("size: "), param, ctx)


MAX_SIZE = click.option(
    "--max-size",
    type=Size(),
    help="Refuse files that need more memory than this, for streams, tensors and the work on them.",
)
