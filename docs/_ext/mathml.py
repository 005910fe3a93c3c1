"""Formulas as MathML, which browsers show without a script and without the network."""

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

logger = getLogger(__name__)


def formula(writer: Any, node: nodes.Element) -> None:
    """Write a formula; warn of one that cannot be translated."""
    block = isinstance(node, nodes.math_block)
    text = node.astext().replace(r"\dots", r"\ldots")  # docutils does not know the first
    try:
        markup = latex2mathml.tex2mathml(text, as_block=block)
    except MathError as error:
        logger.warning("%s: %s", node.astext(), error, location=node)
        raise nodes.SkipNode from None
    writer.body.append(f'<div class="formula">{markup}</div>' if block else markup)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer `mathml`."""
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
