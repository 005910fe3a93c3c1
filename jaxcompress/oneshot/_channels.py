"""Which weights of a tensor share a grid: channels, or blocks of them."""

import math

import numpy as np

from jaxcompress.quantization import Granularity, per_best_axis, per_block, per_channel


def channels_of(
    tensor: np.ndarray, axis: int | None, block: int | None, usual_axis: int
) -> Granularity:
    """Return the granularity of a tensor.

    Args:
        tensor: of weights.
        axis: of the channels; None for the one that the weights ask for.
        block: most weights of a channel that share a grid; None for all.
        usual_axis: of the outputs, by the convention of where the tensor comes from.
    """
    channels = per_best_axis(usual=usual_axis) if axis is None else per_channel(axis)
    if block is None:
        return channels
    own = next(
        (a for a, count in enumerate(channels("", tensor)) if count > 1), usual_axis % tensor.ndim
    )
    return _blocks(tensor.shape, own, block) or channels


def _blocks(shape: tuple[int, ...], own: int, size: int) -> Granularity | None:
    """Return the granularity of blocks of a channel; None if a tensor has no other axis.

    Blocks lie along the longest other axis, the inputs. Axes after it are within blocks, as the
    window of a convolution is. Axes before it and the channels have blocks of their own if those
    are full, as the directions of an LSTM have.

    Args:
        shape: of the tensor.
        own: axis of the channels.
        size: of a block.
    """
    others = [axis for axis in range(len(shape)) if axis != own]
    if not others:
        return None
    along = max(others, key=lambda axis: shape[axis])
    apart = [axis for axis in others if axis < min(own, along)] if shape[along] >= size else []
    within = math.prod(shape[axis] for axis in others if axis not in (along, *apart))
    return per_block(max(size // within, 1), axis=along, channels=per_channel((own, *apart)))
