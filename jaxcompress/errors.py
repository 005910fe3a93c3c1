"""Errors that are more than a `ValueError` or a `TypeError` of an argument.

ArtifactError        a file that is damaged, hostile, or not of this format
MismatchError        an exported model that does not compute what the function does
MissingLibraryError  a library that a feature needs is not installed
NoArrayError         a result of a function that is not an array
"""

from typing import Any, Self

from jaxcompress.text import escaped, shortened

__all__ = ["ArtifactError", "MismatchError", "MissingLibraryError", "NoArrayError"]


class ArtifactError(ValueError):
    """A file that is damaged, hostile, or not of this format.

    Its message can be shown: what the file says is escaped. The attributes hold it as it is.

    Attributes:
        reason: the rule that is broken.
        file: path of the file, once known.
        tensor: path of the tensor, if one is to blame.
        expected: what the rule asks for, if that can be said.
        found: what the file holds instead.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        tensor: str | None = None,
        expected: Any = None,
        found: Any = None,
    ) -> None:
        self.reason, self.file, self.tensor = reason, file, tensor
        self.expected, self.found = expected, found
        places = [file, None if tensor is None else shortened(tensor, most=200)]
        where = "".join(f"{place}: " for place in places if place is not None)
        facts = [
            f"{word} {_short(value)}"
            for word, value in (("expected", expected), ("found", found))
            if value is not None
        ]
        super().__init__(escaped(where + reason + (": " if facts else "") + ", ".join(facts)))

    def at(self, *, file: str | None = None, tensor: str | None = None) -> Self:
        """Return the same error with the place filled in where it is not known yet."""
        return type(self)(
            self.reason,
            file=self.file or file,
            tensor=self.tensor if self.tensor is not None else tensor,
            expected=self.expected,
            found=self.found,
        )


class MissingLibraryError(ImportError):
    """A library that a feature needs is not installed.

    Attributes:
        extra: of jaxcompress, with which it is installed.
    """

    def __init__(self, feature: str, library: str, *, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f"{feature}: needs {library}, which is not installed; "
            f"pip install 'jaxcompress[{extra}]'.",
            name=library,
        )


class MismatchError(ValueError):
    """An exported model that does not compute what the function does."""


class NoArrayError(TypeError):
    """A result of a function that is not an array."""


def _short(value: Any) -> str:
    """Return what the file holds in a few words: it may be hostile, and long."""
    return shortened(value if isinstance(value, str) else repr(value))
