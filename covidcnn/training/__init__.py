"""Training: optimizers and schedules, the recipe of a training, and the fit itself."""
