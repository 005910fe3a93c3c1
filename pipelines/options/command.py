"""The command line of `run.py`; its defaults are those of `Settings`."""

import argparse
from pathlib import Path
from typing import Any

from jaxcompress.artifact import LAYOUTS
from jaxcompress.oneshot import SHARING
from pipelines.data import DATASETS
from pipelines.models import MODELS
from pipelines.options.defaults import (
    DEFAULT_BITS,
    DEFAULT_CHANNELS,
    DEFAULT_CLUSTERS,
    DEFAULT_EPOCHS,
    DEFAULT_QUANTIZER,
    DEFAULT_RATIO,
    DEFAULT_SOFT_WEIGHT,
    DEFAULT_SPARSITY,
    DEFAULT_STEP,
    DEFAULT_TEMPERATURE,
    LARGEST_CUT,
)
from pipelines.options.flags import Parser
from pipelines.options.settings import Settings
from pipelines.run import device
from pipelines.stages.table import RECIPES

DEFAULT_TOP = 3

_EPILOG = f"""\
models:
{chr(10).join(f"  {name:14} {model.summary}" for name, model in MODELS.items())}

recipes:
{chr(10).join(f"  {name:17} {recipe.summary}" for name, recipe in RECIPES.items())}

quantizers:
{chr(10).join(f"  {name:14} {quantizer.summary}" for name, quantizer in SHARING.items())}

default epochs (training, fine-tuning after pruning; after sharing a third of that):
{chr(10).join(f"  {name:14} {e.train}, {e.finetune}" for name, e in DEFAULT_EPOCHS.items())}

examples:
  python run.py --model cifar
  python run.py --model cifar --data fashion_mnist --sparsity 0.5 --control
  python run.py --model cifar --data digits --limit 500 --epochs 2 --out runs/quick
  python run.py --model cifar --data digits --out runs/quick --resume
  python run.py --model cifar --recipe distill --times-smaller 8 --control
  python run.py --model fruits --data-dir my/pictures
  python run.py --model fruits --predict a.jpg b.png --weights runs/fruits/compressed.npz
"""


def _students(text: str) -> int | None:
    """Return a number of students, None for `auto`."""
    try:
        return None if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be auto or a number, got {text!r}.") from None


class _Tuple(argparse.Action):
    """Keeps several values as a tuple, since settings are immutable."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Store the values."""
        setattr(namespace, self.dest, tuple(values))


def parser() -> Parser:
    """Return the parser of the command line; defaults are those of `Settings`."""
    result = Parser(
        prog="run.py",
        description="Train a network, prune it, share its weights, write one compressed .npz,\n"
        "load it back and compare the logits to the bit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    default = Settings()
    what = result.add_argument_group("what to do")
    what.add_argument("--model", required=True, choices=MODELS, help="network, see below")
    what.add_argument(
        "--recipe", default=default.recipe, choices=RECIPES, metavar="R", help="see below"
    )
    what.add_argument(
        "--sparsity",
        type=float,
        metavar="S",
        help=f"fraction of the kernels' weights to remove, in [0, 1) ({DEFAULT_SPARSITY})",
    )
    what.add_argument(
        "--quantizer",
        choices=SHARING,
        help="how shared values are chosen, see below "
        f"({DEFAULT_QUANTIZER}; kmeans where --clusters says how many)",
    )
    what.add_argument(
        "--clusters",
        type=int,
        metavar="K",
        help=f"values a layer may use beside zero ({DEFAULT_CLUSTERS})",
    )
    what.add_argument(
        "--step-size",
        type=float,
        metavar="D",
        help="distance of shared values in the largest layer, in root mean squares of all "
        f"non-zero weights ({DEFAULT_STEP})",
    )
    what.add_argument(
        "--remove-channels",
        type=float,
        metavar="S",
        help="fraction of the channels of every layer (units of every group) to remove, in [0, 1) "
        f"({DEFAULT_CHANNELS})",
    )
    what.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="rounds of cutting and fine-tuning; 1 cuts all at once (as many as remove at most "
        f"{LARGEST_CUT} of the channels each)",
    )
    what.add_argument(
        "--round-to",
        type=int,
        metavar="N",
        help="keep multiples of N channels, where a layer has as many; 16 suits processors (1)",
    )
    what.add_argument(
        "--group-lasso",
        type=float,
        metavar="L",
        help="before the cuts, train with a penalty on the norms of channels that grows to L",
    )
    what.add_argument(
        "--keep-blocks",
        type=int,
        metavar="N",
        help="blocks of a transformer to keep; the others are dropped (half of them)",
    )
    what.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="of the integers that layers take as inputs, 2 to 8; only those of 8 run "
        f"({DEFAULT_BITS})",
    )
    what.add_argument(
        "--weight-bits",
        type=int,
        metavar="N",
        help="of the integers that weights are rounded to, 1 to 8; 1 is binary, 2 is ternary "
        "(as --bits)",
    )
    what.add_argument(
        "--times-smaller",
        type=float,
        metavar="R",
        help=f"how many times fewer parameters the last student has, above 1 ({DEFAULT_RATIO:g})",
    )
    what.add_argument(
        "--students",
        type=_students,
        metavar="N",
        help="students, each taught by the one before (auto: 1 up to 4 times smaller, 2 up to 16, "
        "else 3)",
    )
    what.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help=f"of the softened logits that students learn from ({DEFAULT_TEMPERATURE:g})",
    )
    what.add_argument(
        "--soft-weight",
        type=float,
        metavar="W",
        help="weight of the teacher's term in a student's loss, in [0, 1]; labels have the rest "
        f"({DEFAULT_SOFT_WEIGHT:g})",
    )
    what.add_argument(
        "--control",
        action="store_true",
        help="also train the dense network for as many extra steps, or a student as long without "
        "a teacher, and report it",
    )
    data = result.add_argument_group("data")
    data.add_argument(
        "--data",
        default=default.data,
        choices=["auto", *DATASETS],
        help="auto takes what the model was made for from disk or from its website (CIFAR-10, "
        "Fruits-360; for fruits --data-dir may hold any pictures), else a stand-in, digits or "
        "rendered fruit",
    )
    data.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the dataset lies: archives, npz, or folders Training and Test with a folder "
        "of pictures for each class",
    )
    data.add_argument("--limit", type=int, metavar="N", help="use only N training images")
    data.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="height and width of the images the network is fed (fruits: a multiple of 8, "
        "16 to 96; 48)",
    )
    data.add_argument(
        "--branches",
        nargs="+",
        action=_Tuple,
        metavar="B",
        help=f"fuse only these inputs (fruits: {' '.join(MODELS['fruits'].branches)}; all)",
    )
    training = result.add_argument_group("training")
    training.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="a compressed.npz, whose network takes the place of the first training",
    )
    training.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="passes of the first training, and of each student's lesson",
    )
    training.add_argument(
        "--finetune-epochs",
        type=int,
        metavar="N",
        help="passes of fine-tuning after pruning, dropping or distilling, divided among rounds "
        "of cutting; after sharing a third of that",
    )
    training.add_argument(
        "--batch-size",
        type=int,
        default=default.batch_size,
        metavar="N",
        help="images a step (%(default)s)",
    )
    training.add_argument(
        "--lr", type=float, default=default.lr, metavar="R", help="peak rate (%(default)s)"
    )
    training.add_argument(
        "--seed",
        type=int,
        default=default.seed,
        metavar="N",
        help="of initial weights and order of images (%(default)s)",
    )
    training.add_argument(
        "--device", default="auto", choices=device.DEVICES, help="where to compute (%(default)s)"
    )
    output = result.add_argument_group("output")
    output.add_argument(
        "--out", type=Path, metavar="DIR", help="folder (default: runs/MODEL-DATA-TIME)"
    )
    output.add_argument(
        "--layout",
        default=default.layout,
        choices=LAYOUTS,
        help="of the compressed files: entropy is smallest and needs constriction to be read, "
        "packed does not, csr is plainest (%(default)s)",
    )
    output.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in --out"
    )
    use = result.add_argument_group("using a compressed file")
    use.add_argument(
        "--predict",
        type=Path,
        nargs="+",
        metavar="PICTURE",
        help="train nothing; name what is in these picture files",
    )
    use.add_argument("--weights", type=Path, metavar="FILE", help="a compressed.npz, for --predict")
    use.add_argument(
        "--top", type=int, metavar="N", help=f"how many classes --predict names ({DEFAULT_TOP})"
    )
    return result
