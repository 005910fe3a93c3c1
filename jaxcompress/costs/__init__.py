"""What a function costs: floating-point operations, milliseconds, bytes of memory."""

from jaxcompress.costs._latency import Latency, latency_ms
from jaxcompress.costs._memory import peak_bytes
from jaxcompress.costs.counting import Flops, flops

__all__ = ["Flops", "Latency", "flops", "latency_ms", "peak_bytes"]
