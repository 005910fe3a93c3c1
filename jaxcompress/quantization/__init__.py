"""Numbers of few bits: grids, ranges, calibration by tracing, simulation, training, rounding."""
