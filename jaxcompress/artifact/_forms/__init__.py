"""The forms of leaves in a file, one module for each, and the table of forms.

From the bottom up: `form` and `entry` (what all forms have), `dense`, `half`, `sparse`,
`clustered`, `quantized`, `lowrank`, `planes`, `same` (leaves that are stored once), `table`.
"""

from jaxcompress.artifact._forms.same import SAME, check_repeats
from jaxcompress.artifact._forms.table import check_entry, oldest_version, read_leaf, write_leaf

__all__ = [
    "SAME",
    "check_entry",
    "check_repeats",
    "oldest_version",
    "read_leaf",
    "write_leaf",
]
