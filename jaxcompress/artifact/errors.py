"""The one error of files that are not what they should be."""

import contextlib
import errno
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Self

from jaxcompress.text import escaped, shortened


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
        places = [file, None if tensor is None else shortened(tensor, 200)]
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


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever a damaged file makes readers raise into one kind of error that names it.

    Raises:
        ArtifactError: naming the file.
    """
    try:
        yield
    except ArtifactError as error:
        raise error.at(file=os.fspath(path)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the start or far behind the end
            raise
        raise ArtifactError("not readable", file=os.fspath(path), found=str(error)) from error
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, TypeError),
        *(KeyError, IndexError, ArithmeticError, tokenize.TokenError),
        *(NotImplementedError, RecursionError),
    ) as error:
        raise ArtifactError("not readable", file=os.fspath(path), found=str(error)) from error


def _short(value: Any) -> str:
    """Return what the file holds in a few words: it may be hostile, and long."""
    return shortened(value if isinstance(value, str) else repr(value))
