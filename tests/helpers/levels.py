"""Levels by data and by rate, of nets that lie on devices."""

from typing import Any

import jaxcompress as jc
from tests.helpers.layouts import Net, apply


def fitted(net: Net, one: Net) -> Any:
    """Return levels by a calibration on one device."""
    found = jc.quantization.calibrate_weights(apply, one.params, [one.x])
    return jc.quantization.fit_levels(net.params, found, damage=0.01)


def rated(net: Net, one: Net) -> Any:
    """Return the levels that training for rate starts with."""
    del one
    made = jc.quantization.rate_aware(apply)
    return made.quantize(made.init(net.params))
