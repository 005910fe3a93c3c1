"""One run of a plan: cut, fine-tune, round, fine-tune, code."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxcompress.compiled import jit_for_inference
from jaxcompress.leaves import dense, is_compressed
from jaxcompress.oneshot.sources import TreeSource
from jaxcompress.planner._building import KEEP, built
from jaxcompress.planner._choosing import Candidates
from jaxcompress.planner._cuts import cut_out, groups_of
from jaxcompress.planner._damage import of_outputs, unmeasured
from jaxcompress.planner._measuring import evaluated, measured_tensors
from jaxcompress.planner._plan import Plan, stamp_of
from jaxcompress.planner._proof import Result, Step, checks_of, size_of
from jaxcompress.planner._record import LEAVE
from jaxcompress.planner._stages import Stages
from jaxcompress.planner._straight_through import encoded_again, rounded
from jaxcompress.planner._task import Apply, Task
from jaxcompress.planner._training import steps_of, trained
from jaxcompress.trees import PyTree

_LARGEST_CUT = 0.2  # of the first units, in one round
_FOR_CUTS = 0.6  # of the epochs
_ROUNDS = 5
_ROOM = 0.97  # of the size, aimed at before training changes the weights
_MARGIN = 0.998


class _Work(NamedTuple):
    """The network as it is now."""

    apply: Apply | None
    params: PyTree
    steps: list[Step]
    trained: int


class Run:
    """One run of a plan.

    Args:
        task: of the whole network.
        params: dense.
        folder: of stages, or None.
        track: is told what is done.
    """

    def __init__(
        self,
        task: Task,
        params: PyTree,
        folder: str | os.PathLike[str] | None,
        track: Callable[[str], None],
    ) -> None:
        self._task, self._params, self._folder, self._track = task, params, folder, track
        self._per_epoch = steps_of(task) if task.is_trained and task.fit is None else 1
        self._controls: dict[int, float] = {}

    def check(self, given: Plan) -> None:
        """Refuse what cannot be done, before any training."""
        apply, tree = self._task.apply, self._params
        if given.cut:
            assert apply is not None
            apply, tree = cut_out(self._task, apply, tree, given.cut)
        built(tree, given.settings, half=given.half)

    def attempt(self, given: Plan) -> Result:
        """Carry a plan out once."""
        stages = Stages(self._folder, f"{given.network} {stamp_of(given)}")
        work, compressed = self._coded(given, self._cut(given, stages), stages)
        control = self._control(work.trained)
        checks = checks_of(self._task, given, work.apply, compressed, control)
        return Result(compressed, work.apply, given, work.steps, checks, control)

    # The network

    def _cut(self, given: Plan, stages: Stages) -> _Work:
        task = self._task
        steps = [self._step("whole", task.apply, self._params)]
        work = _Work(task.apply, self._params, steps, 0)
        if not given.cut:
            return work
        count = self._rounds(given.cut)
        share = _FOR_CUTS if _rounds_weights(given) else 1.0
        epochs = max(round(share * task.epochs), 1)
        for number in range(1, count + 1):
            part = self._part(given.cut, number / count)
            assert work.apply is not None
            apply, small = cut_out(task, work.apply, work.params, part)
            name, trained_steps = f"cut-{number}-of-{count}", work.trained
            if task.is_trained:
                mine = epochs * number // count - epochs * (number - 1) // count
                steps_now = max(mine, 1) * self._per_epoch
                trained_steps += steps_now
                make = functools.partial(self._trained, apply, small, steps_now, name)
                small = stages.tree(name, small, make)
            note = "fine-tuned" if task.is_trained else ""
            done = self._step(name.replace("-", " "), apply, small, note)
            work = _Work(apply, small, [*work.steps, done], trained_steps)
        return work

    def _rounds(self, cut: Mapping[str, Any]) -> int:
        """Return in how many rounds units are cut: at most a fifth of a group in each."""
        if not self._task.is_trained or "units" not in cut:
            return 1
        whole = self._sizes
        gone = max(1 - kept / whole[name] for name, kept in cut["units"].items())
        return max(math.ceil(round(gone / _LARGEST_CUT, 6)), 1)

    def _part(self, cut: Mapping[str, Any], part: float) -> dict[str, Any]:
        """Return a part of a cut."""
        if "units" not in cut or part == 1:
            return dict(cut)
        whole = self._sizes
        return {
            "units": {
                name: round(whole[name] - part * (whole[name] - kept))
                for name, kept in cut["units"].items()
            }
        }

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        groups = groups_of(self._task, self._task.apply, self._params)
        return {group.name: group.size for group in groups}

    @functools.cached_property
    def _teacher(self) -> Callable[..., PyTree]:
        assert self._task.apply is not None
        return functools.partial(jit_for_inference(self._task.apply), self._params)

    def _trained(self, apply: Apply, params: PyTree, steps: int, what: str, **how: Any) -> PyTree:
        return trained(
            self._task,
            apply,
            params,
            steps=steps,
            teacher=self._teacher,
            what=what,
            track=self._track,
            **how,
        )

    # The weights

    def _coded(self, given: Plan, work: _Work, stages: Stages) -> tuple[_Work, PyTree]:
        """Round the weights, train on as rounded, and make the file as small as asked for."""
        wanted = None if given.stamp != stamp_of(given) else given.budget.size_bytes
        trains = self._task.is_trained and _rounds_weights(given)
        compressed = self._fitting(
            given, work, wanted, room=_ROOM if trains else 1.0, is_new=bool(work.trained)
        )
        if trains:
            assert work.apply is not None
            spent = _FOR_CUTS if given.cut else 0.0
            steps = max(round((1 - spent) * self._task.epochs), 1) * self._per_epoch
            view = rounded(compressed)
            make = functools.partial(
                self._trained, work.apply, work.params, steps, "rounded", view=view
            )
            params = stages.tree("rounded", work.params, make)
            work = work._replace(params=params, trained=work.trained + steps)
            compressed = encoded_again(compressed, params)
            vectors = built(params, {}, half=given.half)
            compressed = jax.tree.map(
                lambda leaf, vector: leaf if is_compressed(leaf) else vector,
                compressed,
                vectors,
                is_leaf=is_compressed,
            )
            if wanted is not None and size_of(compressed) > wanted:
                compressed = self._fitting(given, work, wanted, room=1.0, is_new=True)
        note = "rounded and fine-tuned" if trains else "rounded"
        done = self._step("coded", work.apply, dense(compressed), note, size_of(compressed))
        return work._replace(steps=[*work.steps, done]), compressed

    def _fitting(
        self, given: Plan, work: _Work, wanted: float | None, *, room: float, is_new: bool
    ) -> PyTree:
        """Return the tree whose file has the size wanted.

        The settings are those of the plan where they do, else those of least damage for the weights
        as they are now.
        """
        if wanted is None or not is_new:
            compressed = built(work.params, given.settings, half=given.half)
            if wanted is None or size_of(compressed) <= wanted:
                return compressed
        solved, left = self._candidates(given, work)
        goal, compressed = room * wanted, None
        for _ in range(_ROUNDS):
            chosen = solved.within(max(goal, solved.smallest))
            assert chosen is not None
            pairs = zip(chosen.network.tensors, chosen.choices, strict=True)
            settings = {tensor.path: choice.settings for tensor, choice in pairs}
            settings |= dict.fromkeys(left, LEAVE)
            compressed = built(work.params, settings, half=given.half)
            size = size_of(compressed)
            if size <= wanted or goal < solved.smallest:
                break
            goal *= _MARGIN * wanted / size
        return compressed

    def _candidates(self, given: Plan, work: _Work) -> tuple[Candidates, list[str]]:
        """Return the choices for the weights as they are now, and the paths left alone."""
        self._track("choices solved anew")
        damage = unmeasured
        if self._task.is_run and work.apply is not None:
            damage = of_outputs(work.apply, work.params, tuple(self._task.example))
        network = measured_tensors(
            given.name,
            TreeSource(work.params),
            damage,
            is_measured=self._task.is_run,
            is_whole=not self._task.is_trained,
            track=self._track,
        )
        left = [path for path, each in given.settings.items() if each in (LEAVE, KEEP)]
        return Candidates(network, lambda path: path in left), left

    # The proof

    def _control(self, steps: int) -> float | None:
        """Return the quality of the whole network, trained as long."""
        task = self._task
        if task.evaluate is None or task.apply is None:
            return None
        if steps not in self._controls:
            params = self._params
            if steps:
                params = trained(
                    task, task.apply, params, steps=steps, what="control", track=self._track
                )
            self._controls[steps] = evaluated(task, task.apply, params)
        return self._controls[steps]

    def _step(
        self, name: str, apply: Apply | None, params: PyTree, note: str = "", size: int = 0
    ) -> Step:
        quality = None
        if self._task.evaluate is not None and apply is not None:
            quality = evaluated(self._task, apply, params)
        return Step(name, size or size_of(params), quality, note)


def _rounds_weights(given: Plan) -> bool:
    return any(each not in (LEAVE, KEEP) for each in given.settings.values())
