"""Trials: trainings as plain values, the store that never runs one twice, and sweeps over grids of them."""
