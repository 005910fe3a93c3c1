"""The command `jaxcompress`: pack, unpack, inspect, verify, diff."""

from jaxcompress.cli.command import cli, main

__all__ = ["cli", "main"]
