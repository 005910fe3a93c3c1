"""What every compressed leaf says of its size, as an array does."""

import math
from typing import Any


class Sized:
    """Adds rank and size to a leaf that has a shape: scopes may ask for them."""

    @property
    def ndim(self: Any) -> int:
        """How many axes the dense tensor has."""
        return len(self.shape)

    @property
    def size(self: Any) -> int:
        """How many entries the dense tensor has."""
        return math.prod(self.shape)
