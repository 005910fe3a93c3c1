"""One kind of error for everything that reading a damaged file raises."""

import contextlib
import errno
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator

from jaxcompress.errors import ArtifactError


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn every error of reading a damaged file into one kind of error that names the file.

    Raises:
        ArtifactError: naming the file.
    """
    try:
        yield
    except ArtifactError as error:
        raise error.at(file=os.fspath(path)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a position before the start or far behind the end
            raise
        raise ArtifactError("not readable", file=os.fspath(path), found=str(error)) from error
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, TypeError),
        *(KeyError, IndexError, ArithmeticError, tokenize.TokenError),
        *(NotImplementedError, RecursionError),
    ) as error:
        raise ArtifactError("not readable", file=os.fspath(path), found=str(error)) from error
