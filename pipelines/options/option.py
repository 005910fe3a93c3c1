"""What an option of `run.py` is: name, kind, default, bounds, and who uses it."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.bounds import (
    check_clusters,
    check_removed,
    check_size,
    check_sparsity,
    check_temperature,
)
from pipelines.errors import SettingsError
from pipelines.options.settings import Settings

Rule = Callable[[Settings], Any]


class User(NamedTuple):
    """What uses an option, beside the recipe: a model or a quantizer.

    Attributes:
        named: its name in these settings, as an error says it.
        uses: `uses(name of the option, settings)`.
    """

    named: Callable[[Settings], str]
    uses: Callable[[str, Settings], bool]


WHAT, DATA, TRAINING = "what to do", "data", "training"
OUTPUT, PREDICTING = "output", "using a compressed file"
GROUPS = (WHAT, DATA, TRAINING, OUTPUT, PREDICTING)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        name: of the setting; its flag has hyphens for underscores.
        kind: a key of `KINDS`.
        default: the value used if none is given; or a rule that makes the value from the settings,
            given or not. None leaves an option out that is not given.
        bounds: the smallest and the largest value, or all choices.
        used_by: what must use it beside the recipe; None if nothing else must.
        help: one line.
        shown: the default in words; "" shows the value.
        remedy: the end of an error.
        fits: from a given value and the settings to the fault of the value; "" if it has none.
        group: of the flags in `--help`.
        metavar: the value in `--help`; "" shows all choices.
        of_run: whether it is a setting; else the program alone reads it.
        decides: whether the result depends on it, so that files of the run name it.
        recorded: its key in `settings` of `results.json`, version 1; "" for options that came
            later, which only `options` has.
        unused: the value there where nothing uses it.
        required: whether every command names it.
    """

    name: str
    kind: str
    help: str
    default: Any = None
    bounds: Any = ()
    used_by: User | None = None
    shown: str = ""
    remedy: str = ""
    fits: Callable[[Any, Settings], str] | None = None
    group: str = WHAT
    metavar: str = ""
    of_run: bool = True
    decides: bool = True
    recorded: str = ""
    unused: Any = None
    required: bool = False

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def default_in_words(self) -> str:
        """The default as help and pages show it; "" if there is none to show."""
        plain = (
            not callable(self.default) and self.default is not None and self.default is not False
        )
        return self.shown or (f"{self.default}" if plain else "")

    def value(self, settings: Settings) -> Any:
        """Return the value that a run uses, None for none."""
        if callable(self.default):
            return self.default(settings)
        given = settings.get(self.name)
        return self.default if given is None else given

    def refuse(self, fault: str) -> SettingsError:
        """Return the error for a fault of its value."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return SettingsError(f"{self.flag}: {fault}{remedy}.")

    def check(self, value: Any, settings: Settings) -> None:
        """Refuse a value that cannot work.

        Raises:
            SettingsError: naming the flag, the rule, the value and the remedy.
        """
        try:
            KINDS[self.kind].check(self, value)
        except SettingsError:
            raise
        except (TypeError, ValueError) as error:
            raise SettingsError(str(error)) from None
        if self.fits and (fault := self.fits(value, settings)):
            raise self.refuse(fault)


# Kinds: how a word becomes a value, and what the value may be.


class Kind(NamedTuple):
    """A kind of values.

    Attributes:
        parse: from a word of the command line to a value.
        check: `check(option, value)` refuses a value that the kind or the bounds exclude.
        many: whether the flag takes several words.
    """

    parse: Callable[[str], Any]
    check: Callable[[Option, Any], Any]
    many: bool = False


def _anything(option: Option, value: Any) -> None:
    del option, value


def _one_of(option: Option, value: Any) -> None:
    if value not in option.bounds:
        raise option.refuse(f"must be one of {', '.join(option.bounds)}, got {value!r}")


def _within(option: Option, value: Any, other: str = "") -> None:
    if not option.bounds:
        return
    least, most = option.bounds
    if most is None and not value >= least:
        raise option.refuse(f"must be at least {least}, got {value}")
    if most is not None and not least <= value <= most:
        raise option.refuse(f"must be {other}{least} to {most}, got {value}")


def _above(option: Option, value: Any) -> None:
    least = option.bounds[0]
    if not (math.isfinite(value) and value > least):
        raise option.refuse(f"must be above {least}, got {value}")


def _fraction(option: Option, value: Any) -> None:
    if not 0 <= value <= 1:
        raise option.refuse(f"must be in [0, 1], got {value}")


def _clusters(option: Option, value: Any) -> None:
    try:
        check_clusters(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(str(error).replace("clusters: k", f"{option.flag}:")) from None


def _whole_or(word: str) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        try:
            return None if text == word else int(text)
        except ValueError:
            fault = f"must be {word} or a number, got {text!r}."
            raise argparse.ArgumentTypeError(fault) from None

    return parse


def _address(option: Option, value: str) -> None:
    host, _, port = value.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise option.refuse(f"must be HOST:PORT, got {value!r}")


KINDS: dict[str, Kind] = {
    "switch": Kind(bool, _anything),
    "choice": Kind(str, _one_of),
    "words": Kind(str, _anything, many=True),
    "path": Kind(Path, _anything),
    "paths": Kind(Path, _anything, many=True),
    "whole": Kind(int, _within),
    "whole or auto": Kind(_whole_or("auto"), lambda option, n: _within(option, n, "auto or ")),
    "whole or all": Kind(_whole_or("all"), _within),
    "address": Kind(str, _address),
    "number": Kind(float, _within),
    "above": Kind(float, _above),
    "fraction": Kind(float, _fraction),
    "size": Kind(str, lambda option, value: check_size(option.flag, value)),
    "removed weights": Kind(float, lambda option, value: check_sparsity(option.flag, value)),
    "removed units": Kind(float, lambda option, value: check_removed(option.flag, value)),
    "temperature": Kind(float, lambda option, value: check_temperature(option.flag, value)),
    "clusters": Kind(int, _clusters),
}
