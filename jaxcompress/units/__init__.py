"""Units: slices of parameters that are removed together, found by tracing a function.

From the bottom up: `dependencies` (the arithmetic of unit ids), `_rules*` (one rule a kind of
primitive), `_known` and `_usage*` (what results depend on), `walk` (which entries are tied),
`cut` (what is left of every value), `silence` and `observe` (running with units silenced, and
reading their values); `groups` (what users see), `patterns` (from components to groups), `members`
(the units of groups in a walk), `_failures`, `trials`, `_pairs` and `_coupling` (whether the code
follows), `find` (all of it, in one call).
"""

from jaxcompress.units.find import unit_groups
from jaxcompress.units.groups import FrozenAxis, Slice, UnitGroup, UnitGroups
from jaxcompress.units.trials import Rebuild

__all__ = ["FrozenAxis", "Rebuild", "Slice", "UnitGroup", "UnitGroups", "unit_groups"]
