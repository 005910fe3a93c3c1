"""Networks that torch has saved: their weights, and tensors of others in their place."""

import io
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from benchmarks.checkpoints.network import Weights

torch.set_num_threads(1)


def state(data: bytes) -> dict[str, Any]:
    """Return what torch has saved, by its reader that runs nothing."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def arrays(saved: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the floats of a state dict."""
    floats = (k for k, v in saved.items() if v.is_floating_point() and v.ndim)
    return {name: saved[name].numpy() for name in floats}


def tensors(weights: Weights) -> dict[str, Any]:
    """Return weights as torch takes them."""
    return {k: torch.from_numpy(np.array(v, np.float32)) for k, v in weights.items()}


def normed(x: Any, t: dict[str, Any], name: str, epsilon: float) -> Any:
    """Return the batch normalization of this name, by its running statistics."""
    parts = ("running_mean", "running_var", "weight", "bias")
    mean, variance, scale, offset = (t[f"{name}.{part}"] for part in parts)
    return torch.nn.functional.batch_norm(x, mean, variance, scale, offset, eps=epsilon)


def lstm(x: Any, t: dict[str, Any], layers: int) -> Any:
    """Return hidden states after each step, `[batch, steps, width]`, of the LSTM named `lstm`."""
    width, inputs = t["lstm.weight_hh_l0"].shape[1], t["lstm.weight_ih_l0"].shape[1]
    net = torch.nn.LSTM(inputs, width, layers, batch_first=True)
    net.load_state_dict({k[5:]: v for k, v in t.items() if k.startswith("lstm.")})
    with torch.no_grad():
        return net(x)[0]
