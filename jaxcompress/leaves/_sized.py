"""Rank and size of compressed leaves, as arrays have them."""

import math
from typing import Any


class Sized:
    """Adds rank and size, which scopes may ask for, to a leaf that has a shape."""

    @property
    def ndim(self: Any) -> int:
        """Number of axes of the dense tensor."""
        return len(self.shape)

    @property
    def size(self: Any) -> int:
        """Number of entries of the dense tensor."""
        return math.prod(self.shape)
