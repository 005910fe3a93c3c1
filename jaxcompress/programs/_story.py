"""What the manifest says of a program: what it takes, what made it, and what runs it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxcompress.errors import ArtifactError
from jaxcompress.programs._preprocessing import checked
from jaxcompress.programs._signature import Ends, read_ends
from jaxcompress.programs._weights import Weight, read_weights

JAX, ONNX = "jax.export", "onnx"
DENSE, COMPRESSED = "dense", "compressed"
RUNS = (DENSE, COMPRESSED)
"""Whether tensors are decoded when the file is opened, or kept as leaves and run so."""


class Story(NamedTuple):
    """What is said of a program.

    Attributes:
        inputs: that go in after the weights.
        outputs: that come out.
        runs: on dense arrays, or on compressed leaves.
        classes: what the entries of the last axis of the first output mean; None if unknown.
        preprocessing: from pictures to the first input; None if it takes none.
        jax: version that exported it.
        convention: version of the calling convention of `jax.export`.
        platforms: that it was compiled for.
        kind: what runs it.
        weights: of a graph of ONNX, its constants that are leaves.
        made: how the tree was made, as JSON; None if unknown.
    """

    inputs: Ends
    outputs: Ends
    runs: str
    classes: list[str] | None
    preprocessing: dict[str, Any] | None
    jax: str
    convention: int
    platforms: list[str]
    kind: str = JAX
    weights: Sequence[Weight] = ()
    made: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        told = {"kind": self.kind} | self._asdict()
        told |= {"inputs": self.inputs.told(), "outputs": self.outputs.told()}
        if self.made is None:
            del told["made"]
        if self.kind == ONNX:
            return told | {"weights": [list(each) for each in self.weights]}
        del told["weights"]
        return told


def read_story(told: Mapping[str, Any]) -> Story:
    """Return what a manifest says of its program.

    Raises:
        ArtifactError: it is not of this form, or of another kind of program.
    """
    kind = told.get("kind")
    if kind not in (JAX, ONNX):
        raise ArtifactError("a program of another kind", expected=f"{JAX} or {ONNX}", found=kind)
    fields: dict[str, Any] = {name: told.get(name) for name in Story._fields}
    try:
        fields |= {name: read_ends(fields[name]) for name in ("inputs", "outputs")}
        fields["weights"] = read_weights(fields["weights"] if kind == ONNX else [])
        found = Story(**fields)
        classes = [] if found.classes is None else found.classes
        for texts in (classes, found.platforms):
            if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
                raise ValueError(f"{texts!r:.80} in place of texts")
        if found.runs not in RUNS or not isinstance(found.jax, str):
            raise ValueError(f"runs {found.runs!r:.40}, jax {found.jax!r:.40}")
        if found.preprocessing is not None:
            found = found._replace(preprocessing=checked(found.preprocessing))
        if type(found.convention) is not int:
            raise ValueError(f"convention {found.convention!r:.40}")
        return found
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(f"what is said of the program is not valid: {error}"[:300]) from None
