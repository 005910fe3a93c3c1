"""One run of a plan: cut, fine-tune, round, fine-tune, code."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxcompress.artifact import size_bytes as size_of
from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.planner._building import KEEP, built
from jaxcompress.planner._cuts import counts, cut_out, groups_of, partly, parts_of, sizes_of
from jaxcompress.planner._fitting import fitted_to
from jaxcompress.planner._leaving import honoured, left_in
from jaxcompress.planner._measuring import evaluated
from jaxcompress.planner._own_loop import encoded_again
from jaxcompress.planner._plan import Plan, stamp_of
from jaxcompress.planner._proof import Result, Step, checks_of
from jaxcompress.planner._record import LEAVE
from jaxcompress.planner._refining import refining
from jaxcompress.planner._stages import Stages
from jaxcompress.planner._straight_through import rounded
from jaxcompress.planner._task import Apply, Task, apply_of
from jaxcompress.planner._training import RATES, Lesson, View, steps_of, trained, unchanged, untold
from jaxcompress.prune import UnitGroups, UnitScore, l1_score
from jaxcompress.trees import PyTree, named_leaves, some_of

ROUNDED, CONTROL = "rounded", "control"
"""Names of trainings; the control has no teacher."""

_LARGEST_CUT = 0.2  # of the first units, in one round
_FOR_CUTS = 0.6  # of the epochs
_ROOM = 0.97  # of the size, aimed at before training changes the weights


class Work(NamedTuple):
    """The network as it is now.

    Attributes:
        apply: of it.
        params: of it.
        steps: that were done.
        trained: steps of the optimizer.
    """

    apply: Apply | None
    params: PyTree
    steps: list[Step]
    trained: int


class Run:
    """One run of a plan.

    Args:
        task: of the whole network.
        folder: of stages, or None.
        track: is told what is done.
        score: of the units; the smallest are cut.
        has_teacher: whether the whole network teaches.
    """

    def __init__(
        self,
        task: Task,
        *,
        folder: str | os.PathLike[str] | None = None,
        track: Callable[[str], None] = untold,
        score: UnitScore = l1_score,
        has_teacher: bool = True,
    ) -> None:
        self._task, self._params = task, dense(task.params)
        self._folder, self._track = folder, track
        self._score, self._has_teacher = score, has_teacher
        self._per_epoch = steps_of(task) if task.is_trained and task.fit is None else 1
        self._controls: dict[int, float] = {}

    def checked(self, given: Plan) -> Plan:
        """Return a plan that cuts nothing of tensors to leave.

        Raises:
            ValueError: what cannot be done or measured, before any training.
        """
        apply, task, budget = apply_of(self._task), self._task, given.budget
        if budget.speedup is not None and not task.is_run:
            raise ValueError("speedup: needs apply and example, got none; give them to the task.")
        if budget.drop is not None and task.evaluate is None:
            raise ValueError("drop: needs evaluate, got none; give it to the task.")
        if len(given.cut) > 1 or not given.cut.keys() <= {"units", "blocks"}:
            raise ValueError(
                f"cut: must be units or blocks, got {', '.join(given.cut)}; correct the plan."
            )
        for name, kept in counts(given.cut).items():
            if kept == 1 and name not in self._sizes:  # `cut_out` refuses the others
                raise ValueError(f"{name}: must be a group of units, got none; correct the plan.")
        given = given._replace(cut=honoured(given, lambda: parts_of(task, self._groups)))
        groups = self._groups if "units" in given.cut else None
        _, tree = cut_out(task, apply, self._params, given.cut, self._score, groups)
        built(tree, given.settings, half=given.half, is_strict=given.is_edited)
        return given

    def attempt(self, given: Plan) -> Result:
        """Carry a plan out once."""
        made = self.made(given)
        control = self._control(given, made.trained)
        checks = checks_of(self._task, given, made.apply, made.params, control)
        return Result(made.params, made.apply, given, made.steps, checks, control)

    def made(self, given: Plan) -> Work:
        """Return the compressed network of a plan, without its proof."""
        trains = f"{self._task.epochs} {given.learning_rate} {self._per_epoch}"
        stages = Stages(self._folder, f"{given.network} {stamp_of(given)} {trains}")
        return self._coded(given, self._cut(given, stages), stages)

    # The network

    def _cut(self, given: Plan, stages: Stages) -> Work:
        task = self._task
        steps = [self._step("whole", task.apply, self._params)]
        work = Work(task.apply, self._params, steps, 0)
        if not given.cut:
            return work
        count = self._rounds(given.cut)
        share = _FOR_CUTS if _rounds_weights(given) else 1.0
        epochs = max(round(share * task.epochs), 1)
        for number in range(1, count + 1):
            part = given.cut if number == count else partly(given.cut, self._sizes, number / count)
            assert work.apply is not None
            apply, small = cut_out(task, work.apply, work.params, part, self._score)
            name, trained_steps = f"cut-{number}-of-{count}", work.trained
            if task.is_trained:
                mine = epochs * number // count - epochs * (number - 1) // count
                steps_now = max(mine, 1) * self._per_epoch
                trained_steps += steps_now
                make = functools.partial(self._trained, apply, small, given, name, steps_now)
                small = stages.tree(name, small, make)
            note = "fine-tuned" if task.is_trained else ""
            done = self._step(name.replace("-", " "), apply, small, note)
            work = Work(apply, small, [*work.steps, done], trained_steps)
        return work

    def _rounds(self, cut: Mapping[str, Any]) -> int:
        """Return in how many rounds units are cut: at most a fifth of a group in each."""
        if not self._task.is_trained or "units" not in cut:
            return 1
        whole, kept = self._sizes, counts(cut)
        gone = max((1 - kept[name] / whole[name] for name in kept), default=0.0)
        return max(math.ceil(round(gone / _LARGEST_CUT, 6)), 1)

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        return sizes_of(self._groups)

    @functools.cached_property
    def _groups(self) -> UnitGroups:
        return groups_of(self._task, self._task.apply, self._params)

    @functools.cached_property
    def _teacher(self) -> Callable[..., PyTree] | None:
        assert self._task.apply is not None
        if not self._has_teacher:
            return None
        return functools.partial(jit_for_inference(self._task.apply), self._params)

    def _trained(
        self,
        apply: Apply,
        params: PyTree,
        given: Plan,
        what: str,
        steps: int,
        view: View = unchanged,
    ) -> PyTree:
        rate = given.learning_rate or self._task.learning_rate or RATES[1]
        teacher = None if what == CONTROL else self._teacher
        fixed = () if what == CONTROL else left_in(given.settings)
        lesson = Lesson(steps, rate, view, teacher, what, self._track, fixed)
        return trained(self._task, apply, params, lesson).params

    # The weights

    def _coded(self, given: Plan, work: Work, stages: Stages) -> Work:
        """Round the weights, train on as rounded, and make the file as small as asked for."""
        wanted = None if given.is_edited else given.budget.size_bytes
        trains = self._task.is_trained and _rounds_weights(given)
        compressed = self._fitting(
            given, work, wanted, room=_ROOM if trains else 1.0, is_new=bool(work.trained)
        )
        if trains:
            assert work.apply is not None
            spent = _FOR_CUTS if given.cut else 0.0
            steps = max(round((1 - spent) * self._task.epochs), 1) * self._per_epoch
            make = functools.partial(
                self._trained, work.apply, work.params, given, ROUNDED, steps, rounded(compressed)
            )
            params = stages.tree(ROUNDED, work.params, make)
            work = work._replace(params=params, trained=work.trained + steps)
            compressed = encoded_again(params, compressed, half=given.half)
            if wanted is not None and size_of(compressed) > wanted:
                compressed = self._fitting(given, work, wanted, room=1.0, is_new=True)
        note = "rounded and fine-tuned" if trains else "rounded"
        if too_coarse := _not_rounded(given, compressed):
            note += f"; kept exactly, as nothing would be left of them: {some_of(too_coarse)}"
        done = self._step("coded", work.apply, compressed, note)
        return work._replace(params=compressed, steps=[*work.steps, done])

    def _fitting(
        self, given: Plan, work: Work, wanted: float | None, *, room: float, is_new: bool
    ) -> PyTree:
        """Return the tree whose file has the size wanted.

        The settings are those of the plan where they do, else those of least damage for the weights
        as they are now.
        """
        refine = refining(self._task, work.apply, work.params)
        if wanted is None or not is_new:
            found = built(work.params, given.settings, half=given.half, refine=refine.full)
            if wanted is None or size_of(found) <= wanted:
                return found
        return fitted_to(
            self._task,
            work.apply,
            work.params,
            given,
            most=wanted,
            goal=room * wanted,
            refine=refine,
            track=self._track,
        )

    # The proof

    def _control(self, given: Plan, steps: int) -> float | None:
        """Return the quality of the whole network: trained as long, or as it is if that is better.

        Training that ruins the whole network too would be no excuse.
        """
        task = self._task
        if task.evaluate is None or task.apply is None:
            return None
        if steps not in self._controls:
            found = evaluated(task, task.apply, self._params)
            if steps:
                params = self._trained(task.apply, self._params, given, CONTROL, steps)
                found = max(found, evaluated(task, task.apply, params))
            self._controls[steps] = found
        return self._controls[steps]

    def _step(self, name: str, apply: Apply | None, params: PyTree, note: str = "") -> Step:
        quality = None
        if self._task.evaluate is not None and apply is not None:
            quality = evaluated(self._task, apply, dense(params))
        return Step(name, size_of(params), quality, note)


def _not_rounded(given: Plan, compressed: PyTree) -> list[str]:
    """Return paths of tensors that a plan rounds and that are not."""
    named = named_leaves(compressed, is_leaf=is_compressed)
    return [
        path
        for path, leaf in zip(named.paths, named.leaves, strict=True)
        if given.settings.get(path, KEEP) not in (LEAVE, KEEP) and not is_compressed(leaf)
    ]


def _rounds_weights(given: Plan) -> bool:
    return any(each not in (LEAVE, KEEP) for each in given.settings.values())
