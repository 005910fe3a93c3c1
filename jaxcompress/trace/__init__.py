"""An interpreter of traced functions, which everything that looks into a function uses.

From the bottom up: `inputs` (what may enter), `program` (a function as one flat list of equations),
`primitives` (what each primitive is), `loops` (what enters and leaves their bodies), `moves` (those
that move entries only), `run` (with something else done at some equations), `sizes` (whether a
function runs at other sizes).
"""
