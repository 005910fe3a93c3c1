"""The file: an archive of streams, what tensors put there, and the manifest that tells them apart.

From the bottom up: `errors`, `regular`, `_leftovers`, `atomic`, `memory`; `outline` (the structure
of a tree as JSON); `_archive` (bytes of the zip), `streams` (one member each), `coding` (codes to
streams), `_forms` (leaves to codes), `_needs`, `manifest`; `writer` and `reader`; `codec` (trees,
in one call).
"""

from jaxcompress.artifact.codec import inspect, load, load_compressed, load_into, save
from jaxcompress.errors import ArtifactError

__all__ = ["ArtifactError", "inspect", "load", "load_compressed", "load_into", "save"]
