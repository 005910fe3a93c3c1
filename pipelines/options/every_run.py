"""The options that every recipe and every model has."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxcompress.artifact import LAYOUTS
from pipelines.data import DATASETS
from pipelines.options.option import DATA, OUTPUT, PREDICTING, TRAINING, Option
from pipelines.options.settings import Settings
from pipelines.stages.table import RECIPES


class Epochs(NamedTuple):
    """Passes over the data in the first training, and in fine-tuning after pruning."""

    train: int
    finetune: int


DEFAULT_EPOCHS = {
    # CIFAR-10: 22 epochs of 45 000 images, under 20 minutes at 1 000 images a second.
    "cifar10": Epochs(12, 8),
    "fashion_mnist": Epochs(8, 3),
    "digits": Epochs(30, 30),
    "fruits360": Epochs(4, 2),
    "folder": Epochs(10, 5),
    "rendered_fruits": Epochs(6, 4),
}


def _epochs_fit(epochs: int, settings: Settings) -> str:
    del epochs
    taught = {"times_smaller", "trials"} & set(RECIPES[settings.recipe].options)
    started = "start" in settings and not taught
    return "with --start nothing is trained at first; leave it out" if started else ""


def _finetune_epochs(settings: Settings) -> int:
    usual = DEFAULT_EPOCHS[settings.data].finetune * RECIPES[settings.recipe].patience
    return settings.get("finetune_epochs") or usual


def _finetune_epochs_fit(epochs: int, settings: Settings) -> str:
    del epochs
    recipe = settings.recipe
    unused = RECIPES[recipe].patience == 0
    return f"{recipe} trains its networks for --epochs; leave it out" if unused else ""


def _start_fits(start: Path, settings: Settings) -> str:
    del settings
    return "" if start.is_file() else f"{start} is no file; pass a compressed.npz"


def _alone(name: str, kind: str, help: str, **more: Any) -> Option:
    """Return an option that the program alone reads: it is not a setting of a run."""
    return Option(name=name, kind=kind, help=help, of_run=False, **more)


RECIPE = Option(
    name="recipe",
    kind="choice",
    default="prune+share",
    bounds=tuple(RECIPES),
    metavar="R",
    help="stages from training to the compressed file",
    recorded="recipe",
)

CONTROL = Option(
    name="control",
    kind="switch",
    default=lambda settings: bool(settings.get("control")) or "drop" in settings,
    shown="with --drop and lottery always",
    help="also train the dense network for as many extra steps, or a student as long without "
    "a teacher, and report it",
    recorded="control",
)

DATA_OPTIONS = (
    Option(
        name="data",
        kind="choice",
        default="auto",
        bounds=("auto", *DATASETS),
        group=DATA,
        help="auto takes what the model was made for from disk or from its website (CIFAR-10, "
        "Fruits-360; for fruits --data-dir may hold any pictures), else a stand-in, digits or "
        "rendered fruit",
        recorded="data",
    ),
    Option(
        name="data_dir",
        kind="path",
        group=DATA,
        decides=False,
        metavar="DIR",
        help="where the dataset lies: archives, npz, or folders Training and Test with a folder "
        "of pictures for each class",
    ),
    Option(
        name="limit",
        kind="whole",
        bounds=(1, None),
        group=DATA,
        metavar="N",
        help="use only N training images",
        recorded="limit",
    ),
)

TRAINING_OPTIONS = (
    Option(
        name="start",
        kind="path",
        fits=_start_fits,
        group=TRAINING,
        metavar="FILE",
        help="a compressed.npz, whose network takes the place of the first training",
        recorded="start",
    ),
    Option(
        name="epochs",
        kind="whole",
        default=lambda settings: settings.get("epochs") or DEFAULT_EPOCHS[settings.data].train,
        bounds=(1, None),
        fits=_epochs_fit,
        group=TRAINING,
        metavar="N",
        help="passes of the first training, and of each student's lesson",
        recorded="epochs",
    ),
    Option(
        name="finetune_epochs",
        kind="whole",
        default=_finetune_epochs,
        bounds=(1, None),
        fits=_finetune_epochs_fit,
        group=TRAINING,
        metavar="N",
        help="passes of fine-tuning after pruning, dropping or distilling, divided among rounds "
        "of cutting; after sharing a third of that",
        recorded="finetune_epochs",
    ),
    Option(
        name="batch_size",
        kind="whole",
        default=64,
        bounds=(1, None),
        group=TRAINING,
        metavar="N",
        help="images a step",
        recorded="batch_size",
    ),
    Option(
        name="lr",
        kind="above",
        default=1e-3,
        bounds=(0, None),
        remedy="0.001 is usual",
        group=TRAINING,
        metavar="R",
        help="peak rate",
        recorded="lr",
    ),
    Option(
        name="seed",
        kind="whole",
        default=0,
        bounds=(0, 2**32 - 1),
        group=TRAINING,
        metavar="N",
        help="of initial weights and order of images",
        recorded="seed",
    ),
    Option(
        name="device",
        kind="choice",
        default="auto",
        bounds=("auto", "cpu", "gpu"),
        group=TRAINING,
        of_run=False,
        help="where to compute",
    ),
    _alone(
        "devices",
        "whole or all",
        "devices of this process that divide each batch",
        shown="all",
        bounds=(1, None),
        group=TRAINING,
        metavar="N",
    ),
    _alone(
        "coordinator",
        "address",
        "where process 0 listens, for a run of several processes, each started with the same "
        "command but for --process",
        group=TRAINING,
        metavar="HOST:PORT",
    ),
    _alone(
        "process",
        "whole",
        "which process this is, from 0; 0 writes the files",
        bounds=(0, None),
        group=TRAINING,
        metavar="K",
    ),
    _alone(
        "processes",
        "whole",
        "how many processes there are",
        bounds=(1, None),
        group=TRAINING,
        metavar="N",
    ),
)


OUTPUT_OPTIONS = (
    _alone(
        "out",
        "path",
        "folder",
        shown="runs/MODEL-DATA-TIME",
        group=OUTPUT,
        metavar="DIR",
    ),
    Option(
        name="layout",
        kind="choice",
        default="entropy",
        bounds=tuple(LAYOUTS),
        group=OUTPUT,
        help="of the compressed files: entropy is smallest, packed is a few percent larger, csr is "
        "plainest",
        recorded="layout",
    ),
    _alone(
        "no_program",
        "switch",
        "leave out shipped.npz, compressed.npz with the network's program (3 to 30 kB more)",
        default=False,
        group=OUTPUT,
    ),
    _alone(
        "tensorboard",
        "switch",
        "also write the numbers of metrics.jsonl as events of TensorBoard, in tensorboard/",
        default=False,
        group=OUTPUT,
    ),
    _alone(
        "resume", "switch", "go on with the interrupted run in --out", default=False, group=OUTPUT
    ),
)

PREDICT_OPTIONS = (
    _alone(
        "predict",
        "paths",
        "train nothing; name what is in these picture files",
        group=PREDICTING,
        metavar="PICTURE",
    ),
    _alone("weights", "path", "a compressed.npz, for --predict", group=PREDICTING, metavar="FILE"),
    _alone(
        "top",
        "whole",
        "how many classes --predict names",
        default=3,
        bounds=(1, None),
        group=PREDICTING,
        metavar="N",
    ),
)
