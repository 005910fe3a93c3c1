"""Train a network, compress it, and prove that the file works: `python run.py --model cifar`."""

import argparse
import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jaxcompress.artifact.coding import LAYOUTS
from pipelines import device
from pipelines.console import Console
from pipelines.data import DATASETS, DataError, Dataset, load
from pipelines.folder import FolderError, claim, locked, write_json
from pipelines.job import Diverged, Interrupted, Job
from pipelines.models import MODELS
from pipelines.quantizers import QUANTIZERS
from pipelines.recipes import RECIPES
from pipelines.report import results, table
from pipelines.settings import (
    DEFAULT_CLUSTERS,
    DEFAULT_EPOCHS,
    DEFAULT_QUANTIZER,
    DEFAULT_SPARSITY,
    DEFAULT_STEP,
    Settings,
    SettingsError,
)
from pipelines.signals import Stop, stop_on_signals

REFUSED, FAILED = 2, 1

_EPILOG = f"""\
models:
{chr(10).join(f"  {name:14} {model.summary}" for name, model in MODELS.items())}

recipes:
{chr(10).join(f"  {name:14} {recipe.summary}" for name, recipe in RECIPES.items())}

quantizers:
{chr(10).join(f"  {name:14} {quantizer.summary}" for name, quantizer in QUANTIZERS.items())}

default epochs (training, fine-tuning after pruning; after sharing a third of that):
{chr(10).join(f"  {name:14} {e.train}, {e.finetune}" for name, e in DEFAULT_EPOCHS.items())}

examples:
  python run.py --model cifar
  python run.py --model cifar --data fashion_mnist --sparsity 0.5 --control
  python run.py --model cifar --data digits --limit 500 --epochs 2 --out runs/quick
  python run.py --model cifar --data digits --out runs/quick --resume
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; defaults are those of `Settings`."""
    result = argparse.ArgumentParser(
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
    what.add_argument("--recipe", default=default.recipe, choices=RECIPES, help="see below")
    what.add_argument(
        "--sparsity",
        type=float,
        metavar="S",
        help=f"fraction of the kernels' weights to remove, in [0, 1) ({DEFAULT_SPARSITY})",
    )
    what.add_argument(
        "--quantizer",
        choices=QUANTIZERS,
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
        "--step",
        type=float,
        metavar="D",
        help="distance of shared values in the largest layer, in root mean squares of all "
        f"weights but zeros ({DEFAULT_STEP})",
    )
    what.add_argument(
        "--control",
        action="store_true",
        help="also train the dense network for as many extra steps, and report it",
    )
    data = result.add_argument_group("data")
    data.add_argument(
        "--data",
        default=default.data,
        choices=["auto", *DATASETS],
        help="auto takes CIFAR-10 from disk or from its website, else the embedded digits",
    )
    data.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the dataset lies: archives, folders or npz",
    )
    data.add_argument("--limit", type=int, metavar="N", help="use only N training images")
    training = result.add_argument_group("training")
    training.add_argument("--epochs", type=int, metavar="N", help="passes of the first training")
    training.add_argument(
        "--finetune-epochs",
        type=int,
        metavar="N",
        help="passes of fine-tuning after pruning; after sharing a third of that",
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
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(words)
    fields = {field.name for field in dataclasses.fields(Settings)}
    settings = Settings(**{name: v for name, v in vars(arguments).items() if name in fields})
    console = Console()
    with stop_on_signals() as stop:
        try:
            recipe = RECIPES[settings.recipe]
            does = {"prunes": recipe.prunes, "shares": recipe.shares}
            settings.check(**does)
            if arguments.resume and arguments.out is None:
                raise SettingsError("--resume: needs --out, the folder of the interrupted run.")
            where = device.choose(arguments.device)
            dataset = _load(settings, console)
            plan = settings.plan(**does, data=dataset.name, train_size=len(dataset.train))
            folder = arguments.out or Path(
                f"runs/{plan.model}-{plan.data}-{time.strftime('%Y%m%d-%H%M%S')}"
            )
            with locked(folder):
                asked = plan.as_json() | {"data_fingerprint": dataset.fingerprint}
                claim(folder, asked, resume=arguments.resume)
                with console.log_to(folder / "log.txt"):
                    console.line(f"{plan.model} on {plan.data} ({dataset.source}), {where}")
                    if dataset.notice:
                        console.loud(dataset.notice)
                    job = Job(plan, dataset, folder, console, stop)
                    return _run(job, dataset, stop, words)
        except (SettingsError, DataError, FolderError) as error:
            return _say(str(error), REFUSED)
        except OSError as error:
            return _say(f"{error}; what was saved stays, --resume goes on from there.", FAILED)
        except KeyboardInterrupt:
            return _say("interrupted; --resume goes on from the last checkpoint.", stop.exit_status)


def _say(text: str, status: int) -> int:
    sys.stderr.write(f"run.py: {text}\n")
    return status


def _load(settings: Settings, console: Console) -> Dataset:
    with console.downloads() as progress:
        return load(
            settings.data, data_dir=settings.data_dir, limit=settings.limit, progress=progress
        )


def _run(job: Job, dataset: Dataset, stop: Stop, words: list[str]) -> int:
    console = job.console
    try:
        rows = job.run()
    except Interrupted as where:
        console.loud(f"stopped in stage {where}; go on with: {_resume_command(words, job.folder)}")
        return stop.exit_status
    except Diverged as error:
        console.loud(str(error))
        return FAILED
    except (MemoryError, RuntimeError, ValueError) as error:
        if "No space left" in str(error):  # as orbax says it
            raise OSError(f"{job.folder}: no space left on the device") from None
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        smaller = max(job.plan.batch_size // 2, 1)
        console.loud(
            f"{job.stage}: out of memory at --batch-size {job.plan.batch_size}; pass "
            f"--batch-size {smaller} and another --out. The last checkpoint is in {job.folder}."
        )
        return FAILED
    outcome = results(job.plan, dataset, rows)
    write_json(job.folder / "results.json", outcome)
    console.table(table(job.plan, dataset, rows))
    if not outcome["reload_exact"]:
        console.loud("the reloaded network does not give the same logits: please report this")
        return FAILED
    console.line(
        f"{outcome['baseline_bytes']:,} -> {outcome['compressed_bytes']:,} bytes, "
        f"{outcome['ratio']:.1f}x smaller; reloaded logits are the same to the bit. "
        f"Files in {job.folder}"
    )
    return 0


def _resume_command(words: list[str], folder: Path) -> str:
    words = [word for word in words if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(folder)]
    return f"python run.py {shlex.join(words)} --resume"


if __name__ == "__main__":
    sys.exit(main())
