"""Libraries of the extras, imported when they are needed."""

import importlib
from typing import Any

from jaxcompress.errors import MissingLibraryError


def library(name: str, feature: str, *, extra: str) -> Any:
    """Return a module of a library that a plain installation does not have.

    Args:
        name: of the module.
        feature: that needs it, for the error.
        extra: of jaxcompress that installs it.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingLibraryError(feature, name.partition(".")[0], extra=extra) from None
