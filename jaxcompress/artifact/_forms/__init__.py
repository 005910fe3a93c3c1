"""The forms a leaf takes in a file, one module each, and the table of them."""

from jaxcompress.artifact._forms.table import check_entry, oldest_version, read_leaf, write_leaf

__all__ = ["check_entry", "oldest_version", "read_leaf", "write_leaf"]
