"""The command `jaxcompress`: pack, unpack, inspect, verify, diff."""

from jaxcompress.cli.command import cli, main
from jaxcompress.cli.status import BROKEN_PIPE, INTERRUPTED, mute_stdout

__all__ = ["BROKEN_PIPE", "INTERRUPTED", "cli", "main", "mute_stdout"]
