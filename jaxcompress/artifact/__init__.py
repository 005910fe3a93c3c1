"""The file: an archive of streams with the numbers of tensors, and a manifest that describes them.

From the bottom up: `reading`, `regular`, `_leftovers`, `atomic`, `memory`; `outline` (the structure
of a tree as JSON); `source` and `_zip` (bytes of a file, headers of a zip), `_members` (arrays to
members), `_archive` (members to a zip), `streams` (one member each), `_fields` (what the manifest
may say), `_huffman`, `_repetitions` and `coding` (codes to streams), `repeats` (leaves that are
equal), `_forms` (leaves to codes), `_parts` and `stored_parts` (leaves with streams of their own),
`_needs`, `manifest`; `_foreign` (files of other programs), `writer` and `reader`; `_mesh`,
`_chosen`, `_last_part` and `_open_file` (some tensors, or one), `encoding` (trees to bytes),
`_together` (a file of several processes), `codec` (whole trees); `tensors`, `_rows` and
`summaries` (what a file holds, as a table).

    ArtifactFile      an open file, read tensor by tensor
    check_target      refuse to replace anything but a regular file
    encode            the bytes that `save` writes
    inspect           read the manifest of a file
    is_temporary      whether a name is that of a temporary file
    LAYOUTS           the packings that each layout tries
    load              read a tree of ordinary arrays
    load_compressed   read a tree with its compressed leaves
    load_into         read a tree into the structure of a template
    open_file         open a file to read single tensors
    open_regular      open a file that is neither a pipe nor a device
    remove_leftovers  remove temporary files of killed writers
    save              write a tree to one `.npz` file
    Shardings         where tensors go: one for all, a function, or a tree
    size_bytes        the size of the file that `save` writes
    States            tensors of an optimizer's state among those of a file
    Summary           what a file holds, as a table
    summary           what `jaxcompress inspect` says, of a tree in memory
    TensorRow         what a file holds of one tensor
    Total             what a file holds in all
    write_atomically  replace a file completely or not at all
"""

from jaxcompress.artifact._leftovers import is_temporary, remove_leftovers
from jaxcompress.artifact._mesh import Shardings
from jaxcompress.artifact._open_file import ArtifactFile, open_file
from jaxcompress.artifact._rows import States, TensorRow, Total
from jaxcompress.artifact.atomic import check_target, write_atomically
from jaxcompress.artifact.codec import inspect, load, load_compressed, load_into, save
from jaxcompress.artifact.coding import LAYOUTS
from jaxcompress.artifact.encoding import encode, size_bytes
from jaxcompress.artifact.regular import open_regular
from jaxcompress.artifact.summaries import Summary, summary

__all__ = [
    "LAYOUTS",
    "ArtifactFile",
    "Shardings",
    "States",
    "Summary",
    "TensorRow",
    "Total",
    "check_target",
    "encode",
    "inspect",
    "is_temporary",
    "load",
    "load_compressed",
    "load_into",
    "open_file",
    "open_regular",
    "remove_leftovers",
    "save",
    "size_bytes",
    "summary",
    "write_atomically",
]
