"""Flax NNX modules that follow the sizes of their arrays, and modules as pure functions.

`follow_arrays` sets the sizes that layers keep as attributes. `functional` turns a module into a
`Net`, functions of plain nested dicts, which does so by itself. All need Flax, the extra `flax`,
which is imported when they are called.

From the bottom up: `_following` (sizes of layers), `_lists` (lists of modules that become shorter),
`_arrays` (other arrays in a module), `_functional`.

    follow_arrays  set the sizes in attributes of layers to those of their arrays
    with_arrays    a copy of a module with other arrays, and layers that follow
    functional     turn a module into pure functions
    Net            a network as pure functions
    Params         nested dicts of parameters
    Stats          nested dicts of arrays that training changes without a gradient
"""

from jaxcompress.nnx._arrays import with_arrays
from jaxcompress.nnx._following import follow_arrays
from jaxcompress.nnx._functional import Net, Params, Stats, functional

__all__ = ["Net", "Params", "Stats", "follow_arrays", "functional", "with_arrays"]
