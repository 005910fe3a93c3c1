"""Links from docs/ to other files of the checkout: the site says their path instead."""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

_LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)#\s]*)(?:#[^)\s]*)?\)")

logger = getLogger(__name__)


def replace(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write `text (path)` for a link that leaves docs/; warn where there is no such file."""
    folder, root = Path(app.srcdir, docname).parent, Path(app.srcdir).parent

    def plain(link: re.Match[str]) -> str:
        text, path = link.groups()
        target = Path(os.path.normpath(folder / path))
        if target.is_relative_to(app.srcdir):
            return link[0]
        if not target.exists():
            logger.warning("%s: %s does not exist", docname, path)
        name = target.relative_to(root).as_posix() if target.is_relative_to(root) else path
        return text if name in text else f"{text} (`{name}`)"

    source[0] = _LINK.sub(plain, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace links when a page is read."""
    app.connect("source-read", replace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
