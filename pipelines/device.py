"""Choosing where to compute, before JAX has chosen."""

import jax

from pipelines.settings import SettingsError

DEVICES = ("auto", "cpu", "gpu")


def choose(device: str) -> str:
    """Make JAX compute on `device` and return a line that names it.

    Raises:
        SettingsError: there is no such device.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if device == "gpu":
        try:
            jax.config.update("jax_default_device", jax.devices("gpu")[0])
        except RuntimeError:
            raise SettingsError(
                "--device: no GPU that JAX can use was found; pass --device cpu, or install "
                "the extra: pip install -e '.[run,cuda]'."
            ) from None
    kinds = {found.device_kind for found in jax.devices()}
    return f"{jax.default_backend()} ({', '.join(sorted(kinds))})"
