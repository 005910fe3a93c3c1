"""The choice of the device, before JAX chooses one."""

import platform
from pathlib import Path
from typing import Any

import jax

from pipelines.errors import SettingsError
from pipelines.models.devices import Devices, Division, divided


def choose(device: str) -> str:
    """Make JAX compute on `device` and return a line that names it.

    Raises:
        SettingsError: there is no such device.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if device == "gpu":
        try:
            jax.config.update("jax_default_device", jax.local_devices(backend="gpu")[0])
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


def divide(images: int, *, most: int | None, platform: str) -> tuple[Devices, Division]:
    """Return the devices that divide each batch, and how.

    Args:
        images: in a batch.
        most: how many devices of this process to use; None for all.
        platform: `--device`, after `choose`.

    Raises:
        SettingsError: there are not so many, or the images do not divide by the processes.
    """
    found = jax.devices("gpu") if platform == "gpu" else jax.devices()
    mine = [device for device in found if device.process_index == jax.process_index()]
    if most is not None and most > len(mine):
        raise SettingsError(
            f"--devices: must be at most {len(mine)}, which JAX found here, got {most}; pass all."
        )
    if images % jax.process_count():
        count = jax.process_count()
        raise SettingsError(
            f"--batch-size: must be a multiple of the {count} processes, got {images}; pass "
            f"--batch-size {max(images // count, 1) * count}."
        )
    first: dict[int, list[Any]] = {}
    for device in found:
        first.setdefault(device.process_index, []).append(device)
    return divided([device for some in first.values() for device in some[:most]], images)


def processor() -> str:
    """Return the name of the processor, as the system tells it."""
    name, told = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if not told.exists():
        return name
    pairs = (line.partition(":") for line in told.read_text(errors="replace").splitlines())
    return next((text.strip() for key, _, text in pairs if key.strip() == "model name"), name)
