"""Costs of a function: floating-point operations, milliseconds, bytes of memory.

`counting` counts operations, `_latency` and `_memory` measure.

    Flops       floating-point operations of one call
    flops       count operations by tracing
    Latency     how long a call takes
    latency_ms  measure one call
    peak_bytes  memory of one call as XLA plans it
    threads     how many cores this process may use
    times_ms    how long each call of anything takes
"""

from jaxcompress.costs._latency import Latency, latency_ms, threads, times_ms
from jaxcompress.costs._memory import peak_bytes
from jaxcompress.costs.counting import Flops, flops

__all__ = ["Flops", "Latency", "flops", "latency_ms", "peak_bytes", "threads", "times_ms"]
