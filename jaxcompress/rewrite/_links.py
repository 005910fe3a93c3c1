"""Channels between layers: which products write them, and which read them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxcompress.products.contraction import contraction, convolution
from jaxcompress.products.find import Product, find_products
from jaxcompress.rewrite.values import Values
from jaxcompress.units.groups import Slice


class Link(NamedTuple):
    """Channels between products.

    Attributes:
        producers: slices of the weights whose output they are.
        consumers: slices of the weights that they are multiplied with.
    """

    producers: list[Slice]
    consumers: list[Slice]

    @property
    def size(self) -> int:
        """How many channels there are."""
        return len(self.producers[0].indices)


def find_links(values: Values, groups: Sequence[Sequence[Slice]]) -> list[Link]:
    """Return the channels that some products write and others read.

    A group of units may be several links: a depthwise product reads the channels of one link and
    writes those of the next.

    Args:
        values: of the parameters.
        groups: slices of each group of units.
    """
    paths = values.named.paths
    products = [p for p in find_products(values.program, paths) if _is_plain(p)]
    of_path: dict[str, list[Product]] = {}
    for product in products:
        (weight,) = product.weights.values()
        of_path.setdefault(paths[weight.leaf], []).append(product)
    part = _parts(values, products)
    links = []
    for slices in groups:
        between: dict[int, Link] = {}
        for piece in slices:
            for product in of_path.get(piece.path, []):
                (weight,), (place,) = product.weights.values(), product.activations
                made = part[product.equation.results[0]]
                read = part[product.equation.operands[place]]  # type: ignore[index]
                makes = piece.axis in (weight.channels or ())
                if makes:
                    between.setdefault(made, Link([], [])).producers.append(piece)
                if not makes or _keeps_channels_apart(product):
                    between.setdefault(read, Link([], [])).consumers.append(piece)
        links += [link for link in between.values() if all(link)]
    return links


def _is_plain(product: Product) -> bool:
    return len(product.key) == 1 and len(product.weights) == len(product.activations) == 1


def _keeps_channels_apart(product: Product) -> bool:
    """Return whether channels of the result are channels of the operand: depthwise products."""
    if product.equation.name == "conv_general_dilated":
        return convolution(product.equation).groups > 1
    return bool(contraction(product.equation).batch[0])


def _parts(values: Values, products: Sequence[Product]) -> np.ndarray:
    """Return for each value the part of the program that it lies in; products separate parts."""
    program, apart = values.program, {product.key[0] for product in products}
    edges = [
        (equation.results[0], value)
        for number, equation in enumerate(program.equations)
        if number not in apart and equation.results
        for value in (*equation.operands, *equation.results)
        if isinstance(value, int) and not values.known(value)
    ]
    size = len(program.shapes)
    rows, columns = np.array(edges, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(size, size))
    return connected_components(graph, directed=False)[1]
