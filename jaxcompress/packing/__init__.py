"""Packing: arrays to streams of small integers and back; no trees, no files.

From the bottom up: `positions` (which entries are kept), `digits` (small integers in bytes),
`csr` (compressed sparse rows); `levels`, `_ans`, `contexts` and `entropy` (the entropy coder).

    csr        compressed sparse rows
    digits     small integers, several in a byte
    entropy    levels as words near their entropy
    levels     codes as signed levels
    positions  which entries are kept
"""

from jaxcompress.packing import csr, digits, entropy, levels, positions

__all__ = ["csr", "digits", "entropy", "levels", "positions"]
