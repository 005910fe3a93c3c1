"""An interpreter of traced functions, which everything that looks into a function uses.

From the bottom up: `inputs` (what may enter), `loops` (what enters and leaves bodies of loops and
branches), `program` (a function as one flat list of equations), `primitives` (what each primitive
is), `moves` (those that move entries only), `run` (with something else done at some equations),
`sizes` (whether a function runs at other sizes).
"""
