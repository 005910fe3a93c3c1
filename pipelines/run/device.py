"""The choice of the device, before JAX chooses one."""

import platform
from pathlib import Path

import jax

from pipelines.errors import SettingsError


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
    try:
        kinds = {found.device_kind for found in jax.devices()}
    except (RuntimeError, AssertionError) as error:
        reason = (str(error) or "JAX found none").splitlines()[0]
        raise SettingsError(
            f"--device: no device can be used ({reason}); unset JAX_PLATFORMS or pass another."
        ) from None
    return f"{jax.default_backend()} ({', '.join(sorted(kinds))})"


def processor() -> str:
    """Return the name of the processor, as the system tells it."""
    name, told = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if not told.exists():
        return name
    pairs = (line.partition(":") for line in told.read_text(errors="replace").splitlines())
    return next((text.strip() for key, _, text in pairs if key.strip() == "model name"), name)
