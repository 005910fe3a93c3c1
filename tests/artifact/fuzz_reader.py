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
from jaxcompress.artifact.streams import MANIFEST
from tests.helpers.files import members_of, written

GOLDEN = [members_of(path) for path in sorted((Path(__file__).parent / "golden").glob("v2*.npz"))]
PATH = Path(tempfile.mkdtemp()) / "m.npz"


def changed(data):
    """Write a golden file with some entries of its streams, or bytes of its manifest, changed."""
    members = dict(data.PickValueInList(GOLDEN))
    for _ in range(data.ConsumeIntInRange(0, 3)):
        name = data.PickValueInList(sorted(members))
        if name == MANIFEST:
            tensors = [dict(entry) for entry in members[MANIFEST]["tensors"]]
            entry = data.PickValueInList(tensors)
            field = data.PickValueInList(sorted(entry))
            number = data.ConsumeIntInRange(-1, 2**40)
            entry[field] = [number] if isinstance(entry[field], list) else number
            members[MANIFEST] = members[MANIFEST] | {"tensors": tensors}
        else:
            stream = members[name].copy()
            stream.view("u1")[data.ConsumeIntInRange(0, stream.nbytes - 1)] = (
                data.ConsumeInt(1) % 256
            )
            members[name] = stream
    written(PATH, members)


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
