"""Files whose bytes are cut, exchanged or added, as a disk or a transfer may do it."""

from hypothesis import strategies as st

import jaxcompress as jc
from jaxcompress.cli import sources


def damage(path, data):
    """Change a file in one to three places drawn by Hypothesis."""
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(content)


def load_all(path):
    source = sources.open_source(path)
    for index in range(len(source.paths)):
        source.load(index)


def read_or_refused(path, read=load_all):
    """Read a file; it may be refused, and no other error may come."""
    try:
        read(path)
    except (jc.ArtifactError, sources.Refused):
        pass
