"""Packing: arrays to streams of small integers and back; no trees, no files.

From the bottom up: `positions` (which entries are kept), `digits` (small integers in bytes), `csr`
(compressed sparse rows). The entropy coder: `tables` (of frequencies), `rans` (symbols in lanes),
`matrices`, `static` (contexts of codes), `_clusters` and `_choice` (of contexts), `sequences` (a
tensor as runs of symbols), `block` (tensors that share lanes), `planes` (numbers as bytes). In
memory: `frequencies`, `lanes`. In files of versions 2 to 4: `levels`, `_ans`, `contexts`,
`entropy`.

    block      codes as words near their entropy
    csr        compressed sparse rows
    digits     small integers, several in a byte
    entropy    levels as words, in files of versions 2 to 4
    lanes      symbols that a device decodes, many at once
    levels     codes as signed levels
    positions  which entries are kept
"""

from jaxcompress.packing import block, csr, digits, entropy, lanes, levels, positions

__all__ = ["block", "csr", "digits", "entropy", "lanes", "levels", "positions"]
