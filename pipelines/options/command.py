"""The command line of `run.py`, made from the table of options."""

import argparse
from typing import Any, NoReturn

from jaxcompress.oneshot import SHARING
from jaxcompress.text import printable
from pipelines.models import MODELS
from pipelines.options.every_run import DEFAULT_EPOCHS
from pipelines.options.option import GROUPS, KINDS, Option
from pipelines.options.settings import Settings
from pipelines.options.table import OPTIONS, settings_of
from pipelines.stages.table import RECIPES

RENAMED = {
    "--blocks": "--keep-blocks",
    "--channels": "--remove-channels",
    "--stages": "--students",
    "--step": "--step-size",
    "--steps": "--rounds",
    "--target-ratio": "--times-smaller",
}
"""From flags of earlier versions to the flags that replace them."""

_LISTED = ("model", "recipe", "quantizer")
_EPILOG = f"""\
models:
{chr(10).join(f"  {name:14} {model.summary}" for name, model in MODELS.items())}

recipes:
{chr(10).join(f"  {name:17} {recipe.summary}" for name, recipe in RECIPES.items())}

quantizers:
{chr(10).join(f"  {name:14} {quantizer.summary}" for name, quantizer in SHARING.items())}

default epochs (training, fine-tuning after pruning; after sharing a third of that; recipe auto
fine-tunes twice as long):
{chr(10).join(f"  {name:14} {e.train}, {e.finetune}" for name, e in DEFAULT_EPOCHS.items())}

examples:
  python run.py --model cifar
  python run.py --model cifar --data fashion_mnist --sparsity 0.5 --control
  python run.py --model cifar --data digits --limit 500 --epochs 2 --out runs/quick
  python run.py --model cifar --data digits --out runs/quick --resume
  python run.py --model cifar --recipe distill --times-smaller 8 --control
  python run.py --model cifar --data digits --size 12KB --speedup 2 --drop 1
  python run.py --model fruits --data-dir my/pictures
  python run.py --model fruits --predict a.jpg b.png --weights runs/fruits/compressed.npz
"""


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


def parser() -> Parser:
    """Return the parser of the command line: it leaves out the settings that are not passed."""
    result = Parser(
        prog="run.py",
        description="Train a network, prune it, share its weights, write one compressed .npz,\n"
        "load it back and compare the logits to the bit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    groups = {name: result.add_argument_group(name) for name in GROUPS}
    for option in OPTIONS.values():
        groups[option.group].add_argument(option.flag, **_argument(option))
    return result


def given(arguments: argparse.Namespace) -> Settings:
    """Return the settings of a command line, with the constant defaults of all recipes."""
    passed = vars(arguments).items()
    return settings_of(**{name: value for name, value in passed if OPTIONS[name].of_run})


def _argument(option: Option) -> dict[str, Any]:
    """Return how argparse reads an option."""
    kind, default = KINDS[option.kind], option.default_in_words
    made: dict[str, Any] = {
        "help": option.help
        + (", see below" if option.name in _LISTED else "")
        + (f" ({default})" if default else ""),
        "default": None,
    }
    if option.required:
        made["required"] = True
    if option.kind == "switch":
        return made | {"action": "store_true"}
    if kind.many:
        made["nargs"] = "+"
    if option.kind == "choice":
        made["choices"] = option.bounds
    return made | {"type": kind.parse, "metavar": option.metavar or None}
