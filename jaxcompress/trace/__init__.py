"""An interpreter of traced functions, used wherever the inside of a function matters.

From the bottom up: `inputs` (checks of inputs), `loops` (operands of the bodies of loops and
branches), `program` (a function as one flat list of equations), `primitives` (the kind of each
primitive), `moves` (primitives that only move entries), `run` (a program run with replacements for
some equations), `sizes` (whether a function runs at other sizes).
"""
