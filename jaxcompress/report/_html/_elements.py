"""Elements of HTML and SVG. `xml.etree` escapes all text and attributes when it writes them."""

import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from jaxcompress.text import escaped

Element = ElementTree.Element
Child = Any
"""An element, a text, None for nothing, or several of these."""


def tag(name: str, /, *children: Child, **attributes: Any) -> Element:
    """Return an element.

    Args:
        name: of the tag.
        *children: elements and texts; texts may hold anything.
        **attributes: by name, `_` for a hyphen and none at the end (`class_`); None for no
            attribute.

    Example:
        >>> written(tag("p", "<script>", tag("b", 1), class_="a", data_from='"'))
        '<p class="a" data-from="&quot;">&lt;script&gt;<b>1</b></p>'
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            element.set(key.rstrip("_").replace("_", "-"), escaped(str(value)))
    add(element, children)
    return element


def add(element: Element, children: Child) -> None:
    """Append children to an element."""
    if isinstance(children, ElementTree.Element):
        element.append(children)
    elif isinstance(children, Iterable) and not isinstance(children, str):
        for child in children:
            add(element, child)
    elif children is not None:
        text = escaped(str(children))
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text


def written(element: Element) -> str:
    """Return the HTML of an element."""
    return ElementTree.tostring(element, encoding="unicode", method="html")


def path(text: str) -> Element:
    """Return the path of a tensor, which may be broken behind its slashes and dots.

    Example:
        >>> written(path("a/b.c"))
        '<span>a/<wbr>b.<wbr>c</span>'
    """
    parts = re.split(r"(?<=[/.])", text)
    return tag("span", [[tag("wbr") if n else None, part] for n, part in enumerate(parts)])
