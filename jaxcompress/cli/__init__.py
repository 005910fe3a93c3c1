"""The command `jaxcompress`: pack, plan, unpack, inspect, verify, diff, report, run.

From the bottom up: `flags` (in errors), `status` and `interruption` (how a program ends), `screen`
and `sizes`;
`refusals`, `flat`, `shards`, `shard_index`, `msgpack_values`, `checkpoints` and `sources` (weights
that are read), `artifacts` (compressed files that are read), `comparison`, `outputs` and `writers`
(weights that are written); `unfinished`, `workers` and `packed_file` (files that are made in
parts), `weights` (that a command takes), `rules_file`, `pack_options`, `calibration`, `fitting`,
`pack_report`; `pack`, `plan`, `unpack`, `inspect`, `verify`, `diff`, `report`
and `run` (one command each), `command` (all of them), `__main__`.
"""

from jaxcompress.cli.command import cli, main
from jaxcompress.cli.status import BROKEN_PIPE, INTERRUPTED, mute_stdout

__all__ = ["BROKEN_PIPE", "INTERRUPTED", "cli", "main", "mute_stdout"]
