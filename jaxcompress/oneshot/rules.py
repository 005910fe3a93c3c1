"""Rules: which tensors are treated in another way than the usual one, by patterns of paths."""

import dataclasses
import fnmatch
import re
from typing import Any, NamedTuple

from jaxcompress.oneshot.ways import Treatment


def path_matches(pattern: str, path: str) -> bool:
    """Return whether a pattern is of a path, or of some of its parts if it has no wildcards.

    Example:
        >>> path_matches("params", "params/w"), path_matches("*w", "params/w")
        (True, True)
    """
    if not pattern:
        return False
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatchcase(path, pattern) or path == pattern
    return bool(re.search(rf"(^|[./]){re.escape(pattern)}($|[./])", path))


class Rule(NamedTuple):
    """Settings of the tensors whose path a pattern matches.

    Attributes:
        pattern: as of a shell: `*` and `?`. One without them names a part of a path.
        settings: fields of `Treatment`; None keeps the tensors exactly.
    """

    pattern: str
    settings: dict[str, Any] | None

    def matches(self, path: str) -> bool:
        """Return whether the rule is for a path.

        Example:
            >>> rule = Rule("lm_head", None)
            >>> rule.matches("model.lm_head.weight"), rule.matches("lm_head2/kernel")
            (True, False)
        """
        return path_matches(self.pattern, path)


class Treatments(NamedTuple):
    """The treatment of each tensor: that of the first rule that matches, or the usual one.

    Attributes:
        usual: of tensors without a rule.
        rules: in the order in which they are asked.
    """

    usual: Treatment
    rules: tuple[Rule, ...] = ()

    def of(self, path: str) -> Treatment | None:
        """Return the treatment of a tensor; None if it is kept exactly.

        Example:
            >>> usual = Treatment(way="grid", value=4)
            >>> rules = Rule("*embed*", {"value": 8}), Rule("head", None)
            >>> treatments = Treatments(usual, rules)
            >>> [treatments.of(path) for path in ("embedding", "head/w")][0].value
            8
        """
        for rule in self.rules:
            if rule.matches(path):
                if rule.settings is None:
                    return None
                return dataclasses.replace(self.usual, **rule.settings)
        return self.usual

    def with_step_size(self, step_size: float) -> "Treatments":
        """Return the treatments with another usual step size."""
        return self._replace(usual=dataclasses.replace(self.usual, value=step_size))
