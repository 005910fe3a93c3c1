"""The program `run.py`, from its command line to its exit status."""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jaxcompress.cli import BROKEN_PIPE, INTERRUPTED, mute_stdout
from jaxcompress.errors import ArtifactError, MissingLibraryError
from jaxcompress.text import printable
from pipelines.data import DataError, Dataset, load
from pipelines.errors import FolderError, SettingsError
from pipelines.models import MODELS
from pipelines.models.capacity import warning
from pipelines.models.devices import Devices
from pipelines.models.networks import Network, networks_of
from pipelines.options.checks import check
from pipelines.options.command import given, parser
from pipelines.options.plan import plan_of
from pipelines.options.settings import Settings
from pipelines.options.table import OPTIONS
from pipelines.run import device
from pipelines.run.boards import FOLDER, Board, check_board
from pipelines.run.console import Console
from pipelines.run.ending import FAILED, Ending
from pipelines.run.folder import LOG
from pipelines.run.identity import identity
from pipelines.run.job import Job
from pipelines.run.predict import Predictor
from pipelines.run.processes import Processes, joined, lacks_process, leave_without, taken
from pipelines.run.signals import Stop, stop_on_signals
from pipelines.stages.start import check_start
from pipelines.stages.table import RECIPES

REFUSED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(words)
    if arguments.predict or arguments.weights or arguments.top is not None:
        try:
            return _predict(arguments)
        except KeyboardInterrupt:
            return _say("interrupted.", INTERRUPTED)
        except BrokenPipeError:
            mute_stdout()
            return BROKEN_PIPE
    with stop_on_signals() as stop:
        try:
            return _train(arguments, words, stop)
        except (SettingsError, DataError, FolderError) as error:
            return _say(str(error), REFUSED)
        except OSError as error:
            where = arguments.out if error.filename is None else error.filename
            what = f"{where}: {error.strerror or error}"
            return _say(f"{what}; what was saved stays, --resume goes on from there.", FAILED)
        except RuntimeError as error:
            if not lacks_process(error):
                raise
            _say("another process ended; start all of them again with --resume.", FAILED)
            leave_without(FAILED)
        except KeyboardInterrupt as error:
            what = str(error) or "--resume goes on from the last checkpoint."
            return _say(f"interrupted; {what}", stop.exit_status)


def _train(arguments: argparse.Namespace, words: Sequence[str], stop: Stop) -> int:
    """Train, compress and prove; return the exit status."""
    settings = given(arguments)
    _check(arguments, settings)
    platform = arguments.device or OPTIONS["device"].default
    processes = _join(arguments, settings)
    console = Console() if processes.is_first else Console(io.StringIO())
    where = device.choose(platform)
    dataset = _load(settings, console, stop)
    plan = plan_of(settings, data=dataset.name, train_size=len(dataset.train))
    found, resume = identity(plan, dataset), bool(arguments.resume)
    most = arguments.devices
    devices, division = device.divide(plan.batch_size, most=most, platform=platform)
    processes.check_alike({**found, "devices": division.devices})
    networks = _networks(plan, dataset, devices, resume=resume)
    named = f"runs/{plan.model}-{plan.data}-{time.strftime('%Y%m%d-%H%M%S')}"
    arguments.out = arguments.out or Path(named)
    with taken(arguments.out, found, processes, resume=resume) as folder:
        with console.log_to(folder / LOG):
            console.line(f"{plan.model} on {plan.data} ({dataset.source}), {where}")
            if division.devices + division.idle > 1:
                console.line(division.sentence())
            for text in (dataset.notice, _skipped(dataset), warning(plan, len(dataset.classes))):
                if text:
                    console.loud(text)
            with _board(arguments, folder) as board:
                halt = processes.agreed(stop)
                job = Job(plan, dataset, networks, folder, console, halt, board, processes)
                ending = Ending(job, dataset, division, processes, not arguments.no_program)
                return ending.run(halt, words)


def _check(arguments: argparse.Namespace, settings: Settings) -> None:
    """Refuse what cannot work before anything is read."""
    check(settings)
    if arguments.resume and arguments.out is None:
        raise SettingsError("--resume: needs --out, the folder of the interrupted run.")
    if arguments.devices is not None:
        OPTIONS["devices"].check(arguments.devices, settings)
    if arguments.tensorboard:
        check_board()


def _join(arguments: argparse.Namespace, settings: Settings) -> Processes:
    """Wait for the other processes, if there are any."""
    asked = [getattr(arguments, name) for name in ("coordinator", "process", "processes")]
    if asked == [None] * 3:
        return Processes()
    if None in asked:
        raise SettingsError(
            "--coordinator: goes with --process and --processes; pass all three, or none."
        )
    coordinator, number, count = asked
    for name in ("coordinator", "process", "processes"):
        OPTIONS[name].check(getattr(arguments, name), Settings())
    if number >= count:
        raise SettingsError(
            f"--process: must be below the {count} processes, got {number}; the first is 0."
        )
    if "speedup" in RECIPES[settings.recipe].options:
        raise SettingsError(
            f"--processes: recipe {settings.recipe} decides by times, which each process measures "
            "otherwise; run it as one."
        )
    return joined(coordinator, number, count)


def _board(
    arguments: argparse.Namespace, folder: Path
) -> contextlib.AbstractContextManager[Board | None]:
    if not arguments.tensorboard:
        return contextlib.nullcontext()
    return contextlib.closing(Board(folder / FOLDER))


def _say(text: str, status: int) -> int:
    sys.stderr.write(f"run.py: {printable(text)}\n")
    return status


def _load(settings: Settings, console: Console, stop: Stop) -> Dataset:
    with console.watch() as show:

        def progress(label: str, done: int, total: int) -> None:
            if stop():
                raise KeyboardInterrupt("nothing was trained yet, run it again.")
            show(label, done, total)

        return load(
            settings.data,
            data_dir=settings.get("data_dir"),
            limit=settings.get("limit"),
            progress=progress,
            preferred=MODELS[settings.model].data,
        )


def _networks(plan: Settings, dataset: Dataset, devices: Devices, *, resume: bool) -> list[Network]:
    networks = networks_of(plan, dataset, devices)
    if not resume:  # else the folder has the start
        check_start(plan, [network.classifier for network in networks])
        if reach := RECIPES[plan.recipe].reach:
            reach(plan, networks[0].classifier, dataset.train.images)
    return networks


def _skipped(dataset: Dataset) -> str:
    """Return a line about skipped files, with the first three names; empty if there are none."""
    if not dataset.skipped:
        return ""
    count, named = len(dataset.skipped), " | ".join(dataset.skipped[:3])
    one = "1 picture that cannot be read is"
    what = one if count == 1 else f"{count} pictures that cannot be read are"
    return f"{what} left out: {named}"


def _predict(arguments: argparse.Namespace) -> int:
    """Print the classes of pictures; return the exit status."""
    try:
        most = _checked_top(arguments)
        device.choose(arguments.device or OPTIONS["device"].default)
        predictor = Predictor(arguments.weights)
        if predictor.classifier.model != arguments.model:
            found = predictor.classifier.model
            raise SettingsError(
                f"--model: {arguments.weights} holds the network {found}, got {arguments.model}; "
                f"pass --model {found}."
            )
    except (SettingsError, DataError, ArtifactError, MissingLibraryError) as error:
        return _say(str(error), REFUSED)
    except OSError as error:
        why = f"{arguments.weights}: {error.strerror or error}"
        return _say(f"{why}; pass a compressed.npz that run.py wrote.", REFUSED)
    if predictor.classifier.notice:
        sys.stderr.write(printable(f"learnt from: {predictor.classifier.notice}") + "\n")
    status = 0
    for prediction in predictor.predict(arguments.predict, most):
        if prediction.fault:
            status = _say(prediction.fault, FAILED)
            continue
        guesses = ", ".join(f"{name} {probability:.1%}" for name, probability in prediction.guesses)
        sys.stdout.write(printable(f"{prediction.path}: {guesses}") + "\n")
        sys.stdout.flush()
    return status


def _checked_top(arguments: argparse.Namespace) -> int:
    """Check the other flags, and return the number of classes to print for each picture."""
    for name, value in vars(arguments).items():
        if value is not None and name not in ("model", "predict", "weights", "top", "device"):
            flag = OPTIONS[name].flag
            raise SettingsError(f"{flag}: --predict has no use for it; leave it out.")
    if not (arguments.predict and arguments.weights):
        raise SettingsError("--predict: needs pictures, and --weights a compressed.npz.")
    option = OPTIONS["top"]
    most = option.default if arguments.top is None else arguments.top
    option.check(most, Settings())
    return most
