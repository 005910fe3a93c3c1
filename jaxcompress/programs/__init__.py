"""Functions in files: a network that runs by itself, without the code that made it.

From the bottom up: `_signature` (what goes in and out), `_preprocessing` and `pictures` (from
pictures to arrays), `_export` (functions to bytes), `_weights` and `_onnx` (or to graphs), `_story`
(what a manifest says of a program), `_made` (the program of a call), `_ship` (to a file),
`_function` (from a file).

A program is executed by whoever opens it. Everything else that reads these files, `load` too,
treats it as bytes.

    Input          one array that goes in
    open_function  read the function of a file
    OpenFunction   the function of a file
    ship           write a tree and the function of it to one file
"""

from jaxcompress.programs._function import OpenFunction, open_function
from jaxcompress.programs._ship import ship
from jaxcompress.programs._signature import Input

__all__ = ["Input", "OpenFunction", "open_function", "ship"]
