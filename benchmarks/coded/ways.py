"""Ways to run a network from a file: a function, and what it is given."""

from collections.abc import Callable
from typing import Any

import jaxcompress as jc
from jaxcompress.typing import PyTree

Apply = Callable[..., Any]
DENSE, KEPT, CODED = "float32", "a byte a weight", "coded"

WAYS: dict[str, Callable[[Apply, Any], tuple[Apply, PyTree]]] = {
    DENSE: lambda apply, path: (apply, jc.load(path)),
    KEPT: lambda apply, path: (jc.execute(apply), jc.load_compressed(path)),
    CODED: lambda apply, path: (jc.execute(apply), jc.load_compressed(path, coded=True)),
}
