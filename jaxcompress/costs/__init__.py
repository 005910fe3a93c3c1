"""Costs of a function: floating-point operations, milliseconds, bytes of memory.

From the bottom up: `counting` (operations), `_latency` and `_memory` (measurements).

    Flops       floating-point operations of one call
    flops       count operations by tracing
    Latency     the time of a call
    latency_ms  measure one call
    peak_bytes  the memory of one call as XLA plans it
    threads     the number of cores that this process may use
    times_ms    the time of each of several calls, of any function
"""

from jaxcompress.costs._latency import Latency, latency_ms, threads, times_ms
from jaxcompress.costs._memory import peak_bytes
from jaxcompress.costs.counting import Flops, flops

__all__ = ["Flops", "Latency", "flops", "latency_ms", "peak_bytes", "threads", "times_ms"]
