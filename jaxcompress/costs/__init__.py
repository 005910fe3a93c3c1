"""What a function costs: floating-point operations, milliseconds, bytes of memory."""

from jaxcompress.costs.flops import Flops, flops
from jaxcompress.costs.latency import Latency, latency_ms
from jaxcompress.costs.memory import peak_bytes

__all__ = ["Flops", "Latency", "flops", "latency_ms", "peak_bytes"]
