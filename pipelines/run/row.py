"""The row of a finished stage."""

import dataclasses
from collections.abc import Sequence

from pipelines.stages.stage import Facts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One stage in the results; docs/results-json.md has the meaning of each field."""

    name: str
    arithmetic: str = "float"
    accuracy: float
    loss: float
    validation_accuracy: float
    sparsity: float
    distinct_weights: int
    size_bytes: int
    sha256: str
    flops: int
    latency_ms: float
    latency_quartiles_ms: Sequence[float] | None = None
    peak_bytes: int | None
    seconds: float
    facts: Facts = dataclasses.field(default_factory=dict)

    def sentence(self) -> str:
        """Return the message for the finished stage."""
        return (
            f"{self.name}: accuracy {self.accuracy:.2%} ({self.arithmetic}), "
            f"sparsity {self.sparsity:.1%}, "
            f"{self.size_bytes:,} bytes, {self.flops / 1e6:,.1f} MFLOP, {self.seconds:.1f} s"
        )

    def metrics(self) -> dict[str, str | float]:
        """Return its line of `metrics.jsonl`."""
        return {
            "stage": self.name,
            "test_accuracy": self.accuracy,
            "test_loss": self.loss,
            "validation_accuracy": self.validation_accuracy,
            "sparsity": self.sparsity,
            "size_bytes": self.size_bytes,
        }
