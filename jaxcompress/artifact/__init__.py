"""The file: an archive of streams, what tensors put there, and the manifest that tells them apart.

From the bottom up: `reading`, `regular`, `_leftovers`, `atomic`, `memory`; `outline` (the structure
of a tree as JSON); `_archive` (bytes of the zip), `streams` (one member each), `coding` (codes to
streams), `_forms` (leaves to codes), `_needs`, `manifest`; `writer` and `reader`; `codec` (trees,
in one call).

    check_target      refuse to replace what is no regular file
    encode            the bytes that `save` writes
    inspect           what a file says of itself
    is_temporary      whether a name is one of temporary files
    LAYOUTS           the packings that each layout tries
    load              read ordinary arrays
    load_compressed   read the tree with its compressed leaves
    load_into         read into the structure of a template
    open_regular      open what is neither pipe nor device
    remove_leftovers  remove what killed writers have left
    save              write a tree to one `.npz` file
    write_atomically  replace a file whole or not at all
"""

from jaxcompress.artifact._leftovers import is_temporary, remove_leftovers
from jaxcompress.artifact.atomic import check_target, write_atomically
from jaxcompress.artifact.codec import encode, inspect, load, load_compressed, load_into, save
from jaxcompress.artifact.coding import LAYOUTS
from jaxcompress.artifact.regular import open_regular

__all__ = [
    "LAYOUTS",
    "check_target",
    "encode",
    "inspect",
    "is_temporary",
    "load",
    "load_compressed",
    "load_into",
    "open_regular",
    "remove_leftovers",
    "save",
    "write_atomically",
]
