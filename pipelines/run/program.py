"""The program `run.py`, from its command line to its exit status."""

import argparse
import errno
import os
import shlex
import sys
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from jaxcompress.cli import BROKEN_PIPE, INTERRUPTED, mute_stdout
from jaxcompress.errors import ArtifactError, MismatchError, MissingLibraryError
from jaxcompress.text import printable
from pipelines.data import DataError, Dataset, load
from pipelines.errors import FolderError, SettingsError
from pipelines.models import MODELS
from pipelines.models.capacity import warning
from pipelines.models.networks import Network, networks_of
from pipelines.options.checks import check
from pipelines.options.command import given, parser
from pipelines.options.plan import plan_of
from pipelines.options.settings import Settings
from pipelines.options.table import OPTIONS
from pipelines.run import device
from pipelines.run.console import Console
from pipelines.run.folder import LOG, RESULTS, claim, locked, write_json
from pipelines.run.identity import identity
from pipelines.run.job import Diverged, Interrupted, Job
from pipelines.run.made import made
from pipelines.run.page import write_page
from pipelines.run.predict import Predictor
from pipelines.run.proof import checks_of, missed, table_of
from pipelines.run.report import results, table
from pipelines.run.row import Row
from pipelines.run.shipped import SHIPPED, write_shipped
from pipelines.run.signals import Stop, stop_on_signals
from pipelines.run.tickets import table_of_tickets
from pipelines.stages.start import check_start
from pipelines.stages.table import RECIPES

REFUSED, FAILED, MISSED = 2, 1, 4
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


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
    settings = given(arguments)
    console = Console()
    folder = arguments.out
    with stop_on_signals() as stop:
        try:
            check(settings)
            if arguments.resume and arguments.out is None:
                raise SettingsError("--resume: needs --out, the folder of the interrupted run.")
            where = device.choose(arguments.device or OPTIONS["device"].default)
            dataset = _load(settings, console, stop)
            plan = plan_of(settings, data=dataset.name, train_size=len(dataset.train))
            networks = _networks(plan, dataset, resume=bool(arguments.resume))
            folder = folder or Path(
                f"runs/{plan.model}-{plan.data}-{time.strftime('%Y%m%d-%H%M%S')}"
            )
            with locked(folder):
                claim(folder, identity(plan, dataset), resume=bool(arguments.resume))
                with console.log_to(folder / LOG):
                    console.line(f"{plan.model} on {plan.data} ({dataset.source}), {where}")
                    far = warning(plan, len(dataset.classes))
                    for text in (dataset.notice, _skipped(dataset), far):
                        if text:
                            console.loud(text)
                    job = Job(plan, dataset, networks, folder, console, stop)
                    with_program = not arguments.no_program
                    return _run(job, dataset, stop, words, with_program=with_program)
        except (SettingsError, DataError, FolderError) as error:
            return _say(str(error), REFUSED)
        except OSError as error:
            where = folder if error.filename is None else error.filename
            what = f"{where}: {error.strerror or error}"
            return _say(f"{what}; what was saved stays, --resume goes on from there.", FAILED)
        except KeyboardInterrupt as error:
            what = str(error) or "--resume goes on from the last checkpoint."
            return _say(f"interrupted; {what}", stop.exit_status)


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


def _networks(plan: Settings, dataset: Dataset, *, resume: bool) -> list[Network]:
    networks = networks_of(plan, dataset)
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


def _run(job: Job, dataset: Dataset, stop: Stop, words: list[str], *, with_program: bool) -> int:
    console = job.console
    try:
        rows = job.run()
    except Interrupted as where:
        console.loud(f"stopped in stage {where}; go on with: {_resume_command(words, job.folder)}")
        return stop.exit_status
    except Diverged as error:
        console.loud(str(error))
        return FAILED
    except MismatchError as error:
        console.loud(f"{job.stage}: {error}")
        return FAILED
    except (MemoryError, RuntimeError, ValueError) as error:
        if number := next((n for n in _NO_ROOM if os.strerror(n) in str(error)), None):
            raise OSError(
                number, os.strerror(number), job.folder
            ) from None  # orbax raises one without them
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        smaller = max(job.plan.batch_size // 2, 1)
        console.loud(
            f"{job.stage}: out of memory at --batch-size {job.plan.batch_size}; pass "
            f"--batch-size {smaller} and another --out. The last checkpoint is in {job.folder}."
        )
        return FAILED
    return _finish(job, dataset, rows, with_program=with_program)


def _finish(job: Job, dataset: Dataset, rows: list[Row], *, with_program: bool) -> int:
    """Write and show what came out; return the exit status."""
    console, shipped = job.console, None
    write_json(job.folder / RESULTS, results(job.plan, dataset, rows))
    if with_program:
        try:
            told = made(job.plan, dataset, rows, job.folder)
            shipped = write_shipped(job.folder, layout=job.plan.layout, made=told)
        except (ValueError, RuntimeError, MemoryError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            console.loud(f"{SHIPPED}: is not written ({why}); nothing else needs it")
    if shipped is None:
        (job.folder / SHIPPED).unlink(missing_ok=True)  # of an earlier end of this run
    outcome = results(job.plan, dataset, rows, shipped_bytes=shipped)
    write_json(job.folder / RESULTS, outcome)
    checks = checks_of(job.plan, rows)
    tables = (table(job.plan, dataset, rows), table_of(checks), table_of_tickets(rows))
    for shown in filter(attrgetter("row_count"), tables):
        console.table(shown)
    if not outcome["reload_exact"]:
        console.loud("the reloaded network does not give the same logits: please report this")
        return FAILED
    console.line(
        f"{outcome['baseline_bytes']:,} -> {outcome['compressed_bytes']:,} bytes, "
        f"{outcome['ratio']:.1f}x smaller; reloaded logits are the same to the bit. "
        f"Files in {job.folder}"
    )
    if shipped is not None:
        more = shipped - outcome["compressed_bytes"]
        console.line(
            f"{SHIPPED} is the same with its program, {more:,} bytes more: jaxcompress run opens it"
        )
    write_page(job.folder, console)
    if short := missed(checks):
        console.loud(short)
        return MISSED
    return 0


def _resume_command(words: list[str], folder: Path) -> str:
    words = [word for word in words if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(folder)]
    return f"python run.py {shlex.join(words)} --resume"
