"""Rules: which tensors are treated in another way than the usual one, by patterns of paths."""

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxcompress.oneshot.ways import Treatment
from jaxcompress.trees import some_of


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
    settings: Mapping[str, Any] | None

    @property
    def sparsity(self) -> float:
        """Fraction of the weights of its tensors that it removes; 0 if it does not say."""
        return (self.settings or {}).get("sparsity", 0.0)

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
        is_exact: whether nothing is compressed after all.
    """

    usual: Treatment
    rules: tuple[Rule, ...] = ()
    is_exact: bool = False

    @property
    def allow_exact(self) -> bool:
        """Whether tensors without any loss are what is asked for too, if they fit."""
        return self.usual.way == "relative" and all(rule.settings is None for rule in self.rules)

    @property
    def has_factors(self) -> bool:
        """Whether tensors may become products: they depend on the number of threads."""
        settings = [rule.settings or {} for rule in self.rules]
        return self.usual.keep_low_rank is not None or any("keep_low_rank" in s for s in settings)

    def of(self, path: str) -> Treatment | None:
        """Return the treatment of a tensor; None if it is kept exactly.

        Example:
            >>> usual = Treatment(way="grid", value=4)
            >>> rules = Rule("*embed*", {"value": 8}), Rule("head", None)
            >>> treatments = Treatments(usual, rules)
            >>> [treatments.of(path) for path in ("embedding", "head/w")][0].value
            8
        """
        rule = self.rule_of(path)
        if rule is None:
            return self.usual
        return None if rule.settings is None else dataclasses.replace(self.usual, **rule.settings)

    def rule_of(self, path: str) -> Rule | None:
        """Return the rule of a tensor."""
        return next((rule for rule in self.rules if rule.matches(path)), None)

    def ranked_apart(self, path: str) -> tuple[str, float] | None:
        """Return pattern and sparsity of the rule of a tensor, None if it sets no sparsity."""
        rule = self.rule_of(path)
        if rule is None or rule.settings is None or "sparsity" not in rule.settings:
            return None
        return rule.pattern, rule.settings["sparsity"]

    def aims(self, path: str) -> bool:
        """Return whether a tensor has the usual way and fineness, which a wanted size chooses."""
        rule = self.rule_of(path)
        return rule is None or (rule.settings is not None and "way" not in rule.settings)

    def layout_of(self, path: str, usual: str) -> str:
        """Return how the codes of a tensor are packed."""
        treatment = self.of(path)
        return treatment.layout or usual if treatment else usual

    def with_step_size(self, step_size: float) -> "Treatments":
        """Return the treatments with another usual step size."""
        return self._replace(usual=dataclasses.replace(self.usual, value=step_size))


class ByPath(Treatments):
    """Treatments whose patterns are paths; tensors without a rule are kept exactly.

    Example:
        >>> treatments = ByPath(Treatment(way="grid", value=4), (Rule("w*", {"value": 8}),))
        >>> treatments.of("w*").value, treatments.of("w1")
        (8, None)
    """

    @functools.cached_property
    def _by_path(self) -> dict[str, Rule]:
        return {rule.pattern: rule for rule in self.rules}

    def rule_of(self, path: str) -> Rule:
        """Return the rule of a tensor."""
        return self._by_path.get(path) or Rule(path, None)


def check_patterns(paths: Sequence[str], rules: Iterable[Rule]) -> None:
    """Refuse patterns that no path matches: what they should protect would be changed."""
    for rule in rules:
        if not any(map(rule.matches, paths)):
            raise ValueError(
                f"{rule.pattern}: a pattern must match a tensor, got none of {len(paths)} "
                f"({some_of(paths)}); a word alone names a whole part of a path, "
                f"'*{rule.pattern}*' matches anywhere in it."
            )
