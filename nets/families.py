"""The module of a network and the sizes that may vary, by type of configuration."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxcompress.nnx import Net, functional
from nets.fruits_fusion import FruitsFusionConfig, FruitsFusionNet
from nets.gpt import GPT, GPTConfig
from nets.lenet import LeNet5, LeNet5Config, LeNet300, LeNet300Config
from nets.resnet import ResNet, ResNetConfig
from nets.small_cifar import SmallCifarConfig, SmallCIFARNet
from nets.text import TextEncoder, TextEncoderConfig
from nets.vit import ViT, ViTConfig


class Family(NamedTuple):
    """Networks that differ only in their sizes.

    Inputs and classes of the network decide all other fields of a configuration.

    Attributes:
        module: `module(config, rngs=...)`, the NNX module.
        widths: fields that count units of layers: an integer, or one for each layer.
        depths: fields that count blocks of layers, integers.
        heads: fields that count heads of attention, integers.
        multiples: by width, the field of heads of which it must be a multiple.
        searched: by field that students of one proportion keep and only a search lowers, the values
            that it may have, the largest first.
    """

    module: Callable[..., Any]
    widths: tuple[str, ...]
    depths: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    multiples: Mapping[str, str] = MappingProxyType({})
    searched: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @property
    def sizes(self) -> tuple[str, ...]:
        """All fields that vary in students of about the proportions of the network."""
        return self.widths + self.depths + self.heads


_OF_BLOCKS = (("width", "hidden"), ("depth",), ("heads",), {"width": "heads"})

FAMILIES: dict[type, Family] = {
    SmallCifarConfig: Family(
        SmallCIFARNet,
        ("widths", "hidden"),
        searched={"convolutions": (3, 2, 1), "resolution": (32, 16, 8)},
    ),
    ResNetConfig: Family(ResNet, ("widths",), ("blocks",)),
    LeNet300Config: Family(LeNet300, ("widths",)),
    LeNet5Config: Family(LeNet5, ("widths", "hidden")),
    FruitsFusionConfig: Family(FruitsFusionNet, ("widths", "vector_hidden", "hidden")),
    ViTConfig: Family(ViT, *_OF_BLOCKS),
    TextEncoderConfig: Family(TextEncoder, *_OF_BLOCKS),
    GPTConfig: Family(GPT, *_OF_BLOCKS),
}


def build(config: Any) -> Net:
    """Return the network of a configuration as pure functions."""
    module = FAMILIES[type(config)].module
    return functional(lambda rngs: module(config, rngs=rngs))


def sizes_of(config: Any) -> dict[str, int | list[int]]:
    """Return the sizes that may vary, as JSON.

    Example:
        >>> sizes_of(ResNetConfig(blocks=1))
        {'widths': [16, 32, 64], 'blocks': 1}
    """
    found = {name: getattr(config, name) for name in FAMILIES[type(config)].sizes}
    return {name: list(n) if isinstance(n, tuple) else n for name, n in found.items()}


def with_sizes(config: Any, sizes: Mapping[str, Any]) -> Any:
    """Return a configuration with other sizes, none larger than its own; `sizes` is checked.

    Args:
        config: with the largest sizes allowed.
        sizes: by field; sizes that are not named are kept.

    Raises:
        ValueError: a field that is no size of this network, a wrong type or number of values, or a
            size that is not in 1 to the largest.

    Example:
        >>> with_sizes(ResNetConfig(), {"blocks": 2, "widths": [8, 16, 32]})
        ResNetConfig(classes=10, widths=(8, 16, 32), blocks=2, stem=1)
    """
    searched = FAMILIES[type(config)].searched
    most = sizes_of(config) | {name: getattr(config, name) for name in searched}
    for name, size in sizes.items():
        if name not in most:
            raise ValueError(f"sizes: must be of {', '.join(most)}, got {name!r:.40}")
        if _fits(size, most[name]) and size not in searched.get(name, (size,)):
            listed = ", ".join(map(str, searched[name]))
            raise ValueError(f"{name}: must be one of {listed}, got {size!r:.40}")
        if not _fits(size, most[name]):
            raise ValueError(f"{name}: must be 1 to {most[name]}, got {size!r:.40}")
    for width, heads in FAMILIES[type(config)].multiples.items():
        units, count = (sizes.get(name, most[name]) for name in (width, heads))
        if units % count:
            raise ValueError(f"{width}: must be a multiple of {heads}, {count}, got {units}")
    changes = {name: tuple(n) if isinstance(n, list) else n for name, n in sizes.items()}
    return dataclasses.replace(config, **changes)


def _fits(size: Any, most: int | list[int]) -> bool:
    if isinstance(most, list):
        alike = isinstance(size, list) and len(size) == len(most)
        return alike and all(map(_fits, size, most))
    return type(size) is int and 1 <= size <= most
