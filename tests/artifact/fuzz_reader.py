"""A coverage-guided search for files that the reader neither reads nor refuses; run by hand.

    pip install -e '.[test,fuzz]'
    python -m tests.artifact.fuzz_reader -max_total_time=600

Half of the inputs are whole files; half are changes of a golden file, with all sums made anew, so
that the search gets past the checksums.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["jaxcompress", "json"]):
    from jaxcompress.artifact.reader import read
    from jaxcompress.errors import ArtifactError
from jaxcompress.artifact.streams import MANIFEST, member_name
from tests.helpers.files import members_of, written

GOLDEN = [members_of(path) for path in sorted((Path(__file__).parent / "golden").glob("v[256]*"))]
PATH = Path(tempfile.mkdtemp()) / "m.npz"


def changed(data):
    """Write a golden file with some entries of its streams, its manifest, or its parts changed."""
    members = dict(data.PickValueInList(GOLDEN))
    for _ in range(data.ConsumeIntInRange(0, 3)):
        name = data.PickValueInList(sorted(members))
        if name == MANIFEST and data.ConsumeBool():
            count = data.ConsumeIntInRange(0, 4)
            parts = [data.ConsumeIntInRange(-1, 6) for _ in range(count)]
            members[MANIFEST] = members[MANIFEST] | {"version": 5, "parts": parts}
        elif name == MANIFEST:
            tensors = [dict(entry) for entry in members[MANIFEST]["tensors"]]
            entry = data.PickValueInList(tensors)
            field = data.PickValueInList(sorted(entry))
            number = data.ConsumeIntInRange(-1, 2**40)
            entry[field] = [number] if isinstance(entry[field], list) else number
            members[MANIFEST] = members[MANIFEST] | {"tensors": tensors}
        elif data.ConsumeBool():
            number = data.ConsumeIntInRange(0, 4)
            members = renamed(members, name, member_name(name.partition(".")[0], number))
        else:
            stream = members[name].copy()
            stream.view("u1")[data.ConsumeIntInRange(0, stream.nbytes - 1)] = (
                data.ConsumeInt(1) % 256
            )
            members[name] = stream
    written(PATH, members)


def renamed(members, name, new):
    """Return the members, one of them under another name and in its place."""
    return {new if key == name else key: array for key, array in members.items()}


def one_input(content):
    """Read what the fuzzer made; anything but ArtifactError ends the search."""
    data = atheris.FuzzedDataProvider(content)
    if data.ConsumeBool():
        changed(data)
    else:
        PATH.write_bytes(data.ConsumeBytes(sys.maxsize))
    try:
        read(PATH, max_bytes=1 << 22)
    except ArtifactError:
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
