"""Plans for weights alone, a tensor at a time: without data, and without the network's code."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcompress.oneshot.sources import Source, Track, untracked
from jaxcompress.planner._anchors import Counts, anchors_of
from jaxcompress.planner._building import Planned, digest_of, shares_of, surveyed
from jaxcompress.planner._choosing import Candidates
from jaxcompress.planner._damage import unmeasured
from jaxcompress.planner._fitting import first_within
from jaxcompress.planner._ladder import MANY
from jaxcompress.planner._leaving import leaving
from jaxcompress.planner._measuring import measured_tensors
from jaxcompress.planner._plan import Plan, stamp_of
from jaxcompress.planner._planning import plan
from jaxcompress.planner._reading import read
from jaxcompress.planner._record import OF_WEIGHTS, WHOLE, Network, Parts, Profile
from jaxcompress.planner._task import Task
from jaxcompress.planner._training import untold
from jaxcompress.trees import plain_bytes, some_of

_MARGIN = 0.995
_ANCHORS, _FEW = Counts(9), Counts(5)  # files of whole plans, of small networks and of large ones


def profile_of(
    source: Source,
    path: str | os.PathLike[str] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    track: Track = untracked,
) -> Profile:
    """Measure what each choice costs, in the memory of a part of a file.

    Args:
        source: of the tensors.
        path: text file to write. One of the same network is read instead, and networks that are cut
            out of it are left out.
        metadata: of the file that is planned: it takes bytes.
        track: shows progress.

    Raises:
        ValueError: a file of another network, or nothing to compress.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.oneshot.sources import TreeSource
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> found = profile_of(TreeSource({"w": weights}))
        >>> found.is_measured, [tensor.path for tensor in found.networks[0].tensors]
        (False, ['w'])
    """
    digest = digest_of(source)
    if path is not None and Path(path).exists():
        kept = read(path, digest)
        return kept._replace(networks=[each for each in kept.networks if not each.cut])
    found = surveyed(source)
    network = measured_tensors(
        WHOLE,
        source,
        unmeasured,
        is_measured=False,
        is_whole=True,
        track=untold,
        progress=track,
        metadata=metadata,
    )
    counts = _FEW if network.parameters >= MANY else _ANCHORS
    anchors = anchors_of(network, found, counts, metadata=metadata, progress=track)
    made = Profile(
        network=digest,
        architecture="unknown",
        parameters=sum(math.prod(leaf.shape) for leaf in source.leaves),
        dense_bytes=sum(map(plain_bytes, source.leaves)),
        metric=OF_WEIGHTS,
        is_trained=False,
        learning_rate=None,
        quality=None,
        networks=[network._replace(anchors=anchors)],
        kept=found.kept,
        limits=Task(None, {}).limits,
        leave=[],
        unfinished={},
        parts=Parts({}, []),
        layers=[],
    )
    if path is not None:
        made.save(path)
    return made


def reachable(profile: Profile) -> tuple[float, float]:
    """Return the bytes of the smallest and of the largest file that can be planned.

    Args:
        profile: of the network.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.oneshot.sources import TreeSource
        >>> weights = np.random.default_rng(0).standard_normal((64, 64))
        >>> least, most = reachable(profile_of(TreeSource({"w": weights})))
        >>> 1000 < least < most < weights.nbytes
        True
    """
    return _whole(profile).reachable


def _whole(profile: Profile) -> Network:
    """Return the network from which nothing is cut.

    Raises:
        ValueError: the profile is for budgets of speed, and has none.
    """
    if not profile.networks or profile.networks[0].name != WHOLE:
        raise ValueError(
            "profile: must have measured the whole network, got one for a budget of speed; make a "
            "profile without cut_only."
        )
    return profile.networks[0]


def fitted(
    source: Source,
    profile: Profile,
    size_bytes: int,
    *,
    leave: Sequence[str] = (),
    metadata: Callable[[Plan], Mapping[str, Any]] = lambda given: {},
) -> Plan:
    """Return the plan of least error whose file is small enough.

    Of networks of few numbers the file is made, in memory, and what it takes beyond the prediction
    is counted in another plan. Of larger ones half a percent of the size is left free.

    Args:
        source: of the tensors.
        profile: of them.
        size_bytes: of the file, at most.
        leave: patterns of paths of tensors that stay exactly as they are.
        metadata: of the file of a plan.

    Raises:
        ValueError: a size that cannot be reached; it names the nearest.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.oneshot.sources import TreeSource
        >>> source = TreeSource({"w": np.random.default_rng(0).standard_normal((64, 64))})
        >>> fitted(source, profile_of(source), 3000).size_bytes <= 3000
        True
    """
    solved = Candidates(_whole(profile), leaving(profile, leave))

    def made(goal: float) -> Plan:
        found = plan(profile, size_bytes=math.ceil(goal), leave=leave)
        return found._replace(budget=found.budget._replace(size_bytes=float(size_bytes)))

    def measured(goal: float) -> Plan:
        found = made(goal)
        pruning, treatments = planned(source, found)
        leaves = pruning.all_leaves(treatments, [])
        sizes, other = shares_of(source, leaves, metadata=metadata(found))
        return found._replace(size_bytes=round(sum(sizes.values()) + other))

    if size_bytes < solved.smallest:
        return plan(profile, size_bytes=size_bytes, leave=leave)  # says what can be reached
    if profile.parameters >= MANY:
        return made(max(_MARGIN * size_bytes, solved.smallest))
    found = first_within(measured, lambda one: one.size_bytes, size_bytes, least=solved.smallest)
    if found.size_bytes > size_bytes:
        raise ValueError(
            f"size_bytes: must be at least {found.size_bytes:,.0f}, got {size_bytes:,}; raise it."
        )
    return found


def planned(source: Source, given: Plan, name: str = "plan") -> Planned:
    """Return what makes the file of a plan; tensors that it does not name are kept exactly.

    Args:
        source: of the tensors.
        given: for them. A person may have edited it.
        name: of its file, for errors.

    Raises:
        ValueError: a plan of another network, or of a smaller one; settings of tensors that are
            none, or that cannot be carried out.

    Example:
        >>> import numpy as np
        >>> from jaxcompress.oneshot.sources import TreeSource
        >>> from jaxcompress.planner import plan
        >>> source = TreeSource({"w": np.random.default_rng(0).standard_normal((64, 64))})
        >>> found = plan(profile_of(source), size_bytes="3KB")
        >>> planned(source, found).pruning.halves
        True
    """
    if given.cut:
        raise ValueError(
            f"{name}: cut: takes the code of the network, got weights alone; carry it out with "
            "planner.carry_out, or plan without a cut."
        )
    known = set(source.paths)
    if strange := [path for path in given.settings if path not in known]:
        raise ValueError(
            f"{name}: must be for tensors of this network, got {some_of(strange)}, which it has "
            "not; correct them, or plan anew."
        )
    if given.network != digest_of(source):
        raise ValueError(f"{name}: is for a network of other weights; plan anew for this one.")
    found = surveyed(source)
    try:
        found.check(given.settings)
        return found.planned(given.settings, half=given.half)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from None


def metadata_of(given: Plan | None) -> dict[str, Any]:
    """Return what a file says of its plan; without one, of a plan to come, in about as many bytes.

    Example:
        >>> metadata_of(None)
        {'plan': '5e0b9a3d71c4'}
    """
    return {"plan": "5e0b9a3d71c4" if given is None else stamp_of(given)}
