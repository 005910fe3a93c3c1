"""Lottery tickets: masks by magnitude in rounds, rewound to an early epoch, and their controls.

A stage reads what it starts from in the files of earlier ones, so that controls come last.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax

import jaxcompress as jc
from jaxcompress.errors import ArtifactError
from pipelines.errors import FolderError
from pipelines.options.option import Option
from pipelines.options.settings import Settings
from pipelines.stages.files import BASELINE, file_of, packed, read_plain, write_plain
from pipelines.stages.pruning import PRUNING
from pipelines.stages.stage import Facts, Recipe, Stage, Trainer, Work
from pipelines.stages.tickets import TICKET, WAYS, Origin, held, sparsity_of
from pipelines.stages.training import adamw

CONTROL = "control"
_ALL = sys.maxsize  # validation images


def train(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the dense network from scratch, and keep it as it is after an early epoch."""
    del work
    epochs, keep = job.plan.epochs, job.plan.rewind_epoch
    trained = job.fit(job.fresh(), adamw(job, epochs), epochs=epochs, keep=keep)
    return trained, {"kept_epoch": keep} if keep else {}


def rewind(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Return the dense network as it was; before epoch 1 it had its first weights."""
    if not job.plan.rewind_epoch:
        return job.fresh(), {}
    early = work.early or {}
    return Work(early["params"], early.get("stats", {})), {}


def sparse(way: str, number: int, job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the network of a round and a way, with its mask held.

    Args:
        way: a key of `WAYS`.
        number: of the round, from 1.
        job: the run.
        work: of the stage before, which may be any.
    """
    del work
    plan, how = job.plan, WAYS[way]
    start = how.start(_origin(job, number))
    epochs, behind = (plan.epochs, 0) if how.whole else (_later(plan), plan.rewind_epoch)
    tx = held(plan.lr, job.steps(plan.epochs), start.mask, behind=job.steps(behind))
    facts = {"way": way, "round": number, "removed": _sparsity(plan, number)}
    return job.fit(start, tx, epochs=epochs), facts


def choose(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Take the sparsest ticket that validation images find as accurate as the dense network.

    Where none is, take the most accurate.
    """
    del work
    numbers = range(1, job.plan.rounds + 1)
    tickets = {number: _ticket(job, number) for number in numbers}
    dense = job.accuracy(read_plain(job.folder / BASELINE), _ALL)
    found = {number: job.accuracy(ticket, _ALL) for number, ticket in tickets.items()}
    best = max(numbers, key=lambda number: (min(found[number], dense), number))
    facts = {"chosen_round": best, "wins": found[best] >= dense}
    return tickets[best]._replace(mask=_origin(job, best).mask), facts


def train_on(job: Trainer, work: Work) -> tuple[Work, Facts]:
    """Train the dense network on, as long as one that is fine-tuned and by the same rates."""
    del work
    plan = job.plan
    tx = held(plan.lr, job.steps(plan.epochs), behind=job.steps(plan.rewind_epoch))
    return job.fit(read_plain(job.folder / BASELINE), tx, epochs=_later(plan)), {}


def _origin(job: Trainer, number: int) -> Origin:
    plan, folder = job.plan, job.folder
    trained = _ticket(job, number - 1) if number > 1 else read_plain(folder / BASELINE)
    key = jax.random.fold_in(jax.random.key(plan.seed), number)
    return Origin(
        mask=jc.magnitude_mask(trained.params, _sparsity(plan, number)),
        early=read_plain(folder / file_of(_early(plan))),
        trained=trained,
        fresh=Work(*job.classifier.net.init(key)),
        key=key,
    )


def _ticket(job: Trainer, number: int) -> Work:
    return _read(job.folder / file_of(_name(TICKET, number, job.plan)))


def _read(path: Path) -> Work:
    try:
        tree = jc.load(path)
    except (OSError, ArtifactError) as error:
        raise FolderError(f"{error}; pass --resume to write it again.") from None
    return Work(tree["params"], tree.get("stats", {}))


def _sparsity(plan: Settings, number: int) -> float:
    return sparsity_of(number, last=plan.sparsity, rounds=plan.rounds)


def _later(plan: Settings) -> int:
    """Return the epochs after the one to rewind to."""
    return plan.epochs - plan.rewind_epoch


def _name(way: str, number: int, plan: Settings) -> str:
    return f"{way} {number}/{plan.rounds}" if plan.rounds > 1 else way


def _early(plan: Settings) -> str:
    return f"epoch {plan.rewind_epoch}"


# Options and recipes


def tickets(plan: Settings) -> Sequence[Stage]:
    """Return the stages of the tickets, and of the choice among them."""
    early = Stage(_early(plan), rewind, write_plain, file_of(_early(plan)))
    return (early, *_stages((TICKET,), plan), packed("best ticket", choose))


def controls(plan: Settings) -> Sequence[Stage]:
    """Return the stages of all that tickets are compared with."""
    later = Stage(CONTROL, train_on, write_plain, f"stages/{CONTROL}.npz", _later)
    return (*_stages([way for way in WAYS if way != TICKET], plan), later)


def _stages(ways: Sequence[str], plan: Settings) -> Sequence[Stage]:
    return [
        packed(
            _name(way, number, plan),
            partial(sparse, way, number),
            (lambda plan: plan.epochs) if WAYS[way].whole else _later,
        )
        for number in range(1, plan.rounds + 1)
        for way in ways
    ]


REWIND_EPOCH = Option(
    name="rewind_epoch",
    kind="whole",
    default=1,
    bounds=(0, None),
    metavar="E",
    help="epoch of the first training whose weights tickets go back to; 0 is before training",
)

OPTIONS = (REWIND_EPOCH,)


def _needs(settings: Settings) -> str:
    if "start" in settings:
        return "an early epoch of its own training, and --start has none; leave it out"
    rewind = settings.get("rewind_epoch", REWIND_EPOCH.default)
    if "epochs" in settings and rewind >= settings.epochs:
        last = settings.epochs - 1
        return f"a --rewind-epoch of at most {last}, before training ends, got {rewind}"
    return ""


RECIPES = {
    "lottery": Recipe(
        "prune in rounds, each time back to weights of an early epoch; with controls",
        (*PRUNING, "rounds", *(option.name for option in OPTIONS)),
        (tickets,),
        _needs,
        controls=controls,
        fixed={"control": True},
        patience=0,
        first=Stage("baseline", train, write_plain, BASELINE),
    ),
}
