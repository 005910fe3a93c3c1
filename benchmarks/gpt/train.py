"""Train the language model: `python -m benchmarks.gpt.train --packages DIR --out DIR`.

    apt-get download manpages manpages-dev
    python -m benchmarks.gpt.train --packages . --out runs/gpt

The folder gets the pairs of its vocabulary and its parameters.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

import jaxcompress as jc
from benchmarks.gpt import manuals, pieces
from jaxcompress.nnx import Params
from nets.families import build
from nets.gpt import GPTConfig
from pipelines.models.examples import Examples
from pipelines.models.train import TrainState, fit, make_step

CONFIG = GPTConfig()
TOKENS, BATCH, SEED = 128, 8, 0
STEPS, WARMUP, COOLDOWN = 950, 50, 150
RATE, DECAY = 1.5e-3, 0.1
_SAID = 25


class Texts(NamedTuple):
    """Windows of tokens `[n, TOKENS + 1]` of each part of the pages, and the vocabulary's pairs."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    merges: list[pieces.Pair]


def texts(packages: Path) -> Texts:
    """Return the pages as tokens; the vocabulary is learned from those for training."""
    parts = manuals.split(manuals.pages(packages))
    merges = pieces.learned(parts["train"], CONFIG.vocabulary)
    tokens = pieces.Pieces(merges)
    found = {
        part: windows(np.concatenate([tokens(page) for page in listed]))
        for part, listed in parts.items()
    }
    return Texts(found["train"], found["validation"], found["test"], merges)


def windows(tokens: np.ndarray) -> np.ndarray:
    """Return `[n, TOKENS + 1]` tokens: each window starts with the last token of the one before."""
    count = (len(tokens) - 1) // TOKENS
    starts = np.arange(count)[:, None] * TOKENS
    return tokens[starts + np.arange(TOKENS + 1)].astype(np.int32)


def optimizer(steps: int = STEPS) -> optax.GradientTransformation:
    """Return AdamW with a warm-up, a constant rate and a linear end; matrices decay."""
    parts = [
        optax.linear_schedule(0.0, RATE, WARMUP),
        optax.constant_schedule(RATE),
        optax.linear_schedule(RATE, 0.0, COOLDOWN),
    ]
    rates = optax.join_schedules(parts, [WARMUP, steps - COOLDOWN])
    adam = optax.adamw(rates, b2=0.98, weight_decay=DECAY, mask=_decays)
    return optax.chain(optax.clip_by_global_norm(1.0), adam)


def _decays(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, say the loss now and then, and write the parameters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the .deb files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args(argv)
    data, net, tx = texts(args.packages), build(CONFIG), optimizer()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "pairs.json").write_text(json.dumps(data.merges))
    examples = Examples(inputs=data.train[:, :-1], labels=data.train[:, 1:])
    params, stats = net.init(jax.random.key(SEED))
    state = TrainState(params, stats, tx.init(params))
    step, epochs = make_step(net, lambda tokens: tokens, tx), -(-STEPS * BATCH // len(examples)) + 1
    ticks = fit({epochs: step}, state, examples, batch_size=BATCH, seed=(SEED,))
    for count, tick in enumerate(itertools.islice(ticks, STEPS), 1):
        if count % _SAID == 0:
            print(f"step {count} of {STEPS}: {tick.note()}", flush=True)
        state = tick.state
    jc.save(args.out / "gpt.npz", jax.device_get(state.params))


if __name__ == "__main__":
    main()
