"""The group of commands, and where the installed script starts."""

import io
import os
import signal
import sys

import click
import jax

import jaxcompress
from jaxcompress.cli.diff import diff
from jaxcompress.cli.inspect import inspect
from jaxcompress.cli.pack import pack
from jaxcompress.cli.plan import plan
from jaxcompress.cli.report import report
from jaxcompress.cli.run import run
from jaxcompress.cli.status import HELP, Program
from jaxcompress.cli.unpack import unpack
from jaxcompress.cli.verify import verify


@click.group(
    cls=Program,
    epilog=HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version=jaxcompress.__version__)
def cli() -> None:
    """Make the weights of a trained network small, and look into the result.

    Weights are safetensors, npz, Flax msgpack, ONNX, GGUF, or files of Keras or PyTorch, chosen by
    the suffix, or a folder of safetensors, orbax or PyTorch.
    """


for command in (pack, plan, unpack, inspect, verify, diff, report, run):
    command.epilog = HELP
    cli.add_command(command)


def main() -> None:
    """Run the command line and leave with its exit status."""
    if "JAX_PLATFORMS" not in os.environ:  # needs no accelerator, and takes no memory of it
        jax.config.update("jax_platforms", "cpu")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode shows escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        cli.main(prog_name="jaxcompress")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit status is already decided
