"""Kills at random moments: `python -m tests.faults.kills 100 [SEED]` says what became of them."""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.forks import Forks

LEAST = "--model lenet-300-100 --data digits --limit 128 --epochs 3".split()
RECIPES = {
    "prune+share": "--finetune-epochs 2 --control",
    "structured": "--finetune-epochs 2 --remove-channels 0.4 --rounds 2 --no-program",
    "distill": "--finetune-epochs 2 --times-smaller 8 --no-program",
    "lottery": "--rounds 2 --no-program",
}
"""By name, more words of the command line: trainings of all kinds, 6 to 13 stages each."""


def words_of(recipe, folder):
    return [*LEAST, "--recipe", recipe, *RECIPES[recipe].split(), "--out", str(folder)]


def results(folder):
    """Name and bytes of all that stages wrote."""
    paths = [*folder.glob("*.npz"), *folder.glob("stages/*.npz")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class Chain:
    """A recipe, run once in one piece, and again and again in pieces.

    Attributes:
        whole: what the first run wrote.
        seconds: that it took.
    """

    def __init__(self, forks, recipe, folder):
        self._forks, self._recipe, self._place = forks, recipe, Path(folder)
        self._place.mkdir()
        self._runs, reference = 0, self._place / "whole"
        forks.run(words_of(recipe, reference), self._place / "said")  # compiles
        began = time.monotonic()
        again = self._place / "again"
        status, said = forks.run(words_of(recipe, again), self._place / "said")
        assert status == 0, said
        self.seconds = time.monotonic() - began
        self.whole = results(again)
        assert self.whole == results(reference) and "compressed.npz" in self.whole

    def killed(self, moments, count):
        """Kill a run `count` times at random moments, let it end, and compare; begin anew if done.

        Returns the kills that hit a living run.
        """
        hits = 0
        while hits < count:
            self._runs += 1
            folder, resume = self._place / f"run{self._runs}", False
            while True:
                words = words_of(self._recipe, folder) + ["--resume"] * resume
                process = self._forks.start(words, self._place / "said")
                if hits < count:
                    time.sleep(moments.uniform(0, self.seconds))
                    os.kill(process, signal.SIGKILL)
                status = self._forks.wait(process)
                self.check(folder)
                if status == 0:
                    break
                assert status == -signal.SIGKILL, (self._place / "said.err").read_text()
                hits += 1
                resume = (folder / "settings.json").exists()
            assert results(folder) == self.whole
        return hits

    def check(self, folder):
        """No file that a stage wrote is ever anything but what it is in the end."""
        for name, content in results(folder).items():
            final = name not in ("answers.npz", "shipped.npz")  # these are written in two steps
            assert not final or content == self.whole[name], name


def main():
    """Kill so many runs, a quarter of each recipe."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    moments, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Forks() as forks:
        for number, recipe in enumerate(RECIPES):
            chain = Chain(forks, recipe, Path(folder) / str(number))
            hits = chain.killed(moments, count // len(RECIPES))
            minutes = (time.monotonic() - began) / 60
            sys.stdout.write(f"{recipe}: {hits} kills, the same bytes; {minutes:.1f} minutes\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
