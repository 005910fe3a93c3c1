"""Costs of a function: floating-point operations, milliseconds, bytes of memory.

From the bottom up: `counting` (operations), `_latency`, `_comparison`, `_layers` and `_memory`
(measurements).

    compare_latency    measure several functions in turn, at several batch sizes
    Flops              floating-point operations of one call
    flops              count operations by tracing
    Latency            the time of a call
    latency_ms         measure one call
    LatencyComparison  the times of several functions
    layer_times        measure each product of a call by itself
    LayerTime          the time of a product
    peak_bytes         the memory of one call as XLA plans it
    threads            the number of cores that this process may use
    times_ms           the time of each of several calls, of any function
    Timing             the time of one function at one batch size
"""

from jaxcompress.costs._comparison import LatencyComparison, Timing, compare_latency
from jaxcompress.costs._latency import Latency, latency_ms, threads, times_ms
from jaxcompress.costs._layers import LayerTime, layer_times
from jaxcompress.costs._memory import peak_bytes
from jaxcompress.costs.counting import Flops, flops

__all__ = [
    "Flops",
    "Latency",
    "LatencyComparison",
    "LayerTime",
    "Timing",
    "compare_latency",
    "flops",
    "latency_ms",
    "layer_times",
    "peak_bytes",
    "threads",
    "times_ms",
]
