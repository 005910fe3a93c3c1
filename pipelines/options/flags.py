"""The flags of `run.py`: none may be abbreviated, and an old one is answered with its new name."""

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
"""From flags of earlier versions to the flags that replace them."""


class Parser(argparse.ArgumentParser):
    """Shows no word of the command line raw: names from a shell may hold anything."""

    def parse_known_args(self, *args: Any, **more: Any) -> Any:
        """Return the values passed, and the unknown words, none of which is an old flag."""
        known, unknown = super().parse_known_args(*args, **more)
        for flag in (word.partition("=")[0] for word in unknown):
            if flag in RENAMED:
                new = RENAMED[flag]
                self.exit(2, f"{self.prog}: {flag}: is called {new} now; pass {new}.\n")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        super().error(printable(message))
