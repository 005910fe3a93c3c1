"""How `run.py` reads its flags: none is abbreviated, and an old one is told its new name."""

import argparse
from typing import Any, NoReturn

from jaxcompress.text import printable

RENAMED = {
    "--blocks": "--keep-blocks",
    "--channels": "--remove-channels",
    "--stages": "--students",
    "--step": "--step-size",
    "--steps": "--rounds",
    "--target-ratio": "--times-smaller",
}
"""By flag of earlier versions the flag that took its place; of this version only."""


class Parser(argparse.ArgumentParser):
    """Shows no word of the command line raw: a name that a shell put there may hold anything."""

    def parse_known_args(self, *args: Any, **more: Any) -> Any:
        """Return what was passed, and the words that nothing takes, none of them an old flag."""
        known, unknown = super().parse_known_args(*args, **more)
        for flag in (word.partition("=")[0] for word in unknown):
            if flag in RENAMED:
                new = RENAMED[flag]
                self.exit(2, f"{self.prog}: {flag}: is called {new} now; pass {new}.\n")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave."""
        super().error(printable(message))
