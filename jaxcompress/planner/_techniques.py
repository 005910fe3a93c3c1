"""Techniques by name: of which one the settings of a tensor are, and the cut of a network."""

from collections.abc import Mapping
from typing import Any

from jaxcompress.planner._record import LEAVE, Settings

QUANTIZATION, SHARING, PRUNING, LOW_RANK = "quantization", "sharing", "pruning", "low rank"
UNITS, BLOCKS = "cutting units", "dropping blocks"

OF_WEIGHTS = (QUANTIZATION, SHARING, PRUNING, LOW_RANK)
"""Techniques that leave each tensor its shape."""

OF_CUTS = {"units": UNITS, "blocks": BLOCKS}
"""Techniques that make the network smaller, by what the cut of a network names."""

TECHNIQUES = (*OF_WEIGHTS, *OF_CUTS.values())
"""All techniques whose choices a profile holds."""

_BY_SETTING = {"sparsity": PRUNING, "keep_low_rank": LOW_RANK, "clusters": SHARING}
"""What is left after them is rounded too, by a step size in the same settings."""

_EXACT = {"keep"}


def technique_of(settings: Settings | str) -> str:
    """Return the technique of settings, "" of those that leave a tensor as it is.

    Example:
        >>> technique_of({"step_size": 0.5}), technique_of({"sparsity": 0.5, "step_size": 0.5})
        ('quantization', 'pruning')
    """
    if settings == LEAVE or set(settings) <= _EXACT:
        return ""
    found = [name for setting, name in _BY_SETTING.items() if setting in settings]
    return found[0] if found else QUANTIZATION


def technique_of_cut(cut: Mapping[str, Any]) -> str:
    """Return the technique of a cut, "" of none.

    Example:
        >>> technique_of_cut({"blocks": [0, 2]}), technique_of_cut({})
        ('dropping blocks', '')
    """
    return next((name for kind, name in OF_CUTS.items() if kind in cut), "")
