"""The settings of a run."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class Settings(Mapping[str, Any]):
    """Values of options by name, also as attributes; immutable.

    It holds those that were given, or those that the run uses. An option that is not used is
    absent: asking for it is an error, and `get` returns None.

    Example:
        >>> settings = Settings(model="cifar", sparsity=0.5, start=None)
        >>> settings.sparsity, settings.get("start"), list(settings)
        (0.5, None, ['model', 'sparsity'])
        >>> settings.but(sparsity=0.9).sparsity
        0.9
    """

    __slots__ = ("_values",)

    def __init__(self, **values: Any) -> None:
        given = {name: value for name, value in values.items() if value is not None}
        object.__setattr__(self, "_values", given)

    def but(self, **changed: Any) -> "Settings":
        """Return the settings with other values; None takes an option out."""
        return Settings(**dict(self) | changed)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name in Settings.__slots__ or name not in self._values:
            raise AttributeError(f"{name}: is not among the settings of this run.")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{name}: settings do not change; make others with `but`.")

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.items())})"
