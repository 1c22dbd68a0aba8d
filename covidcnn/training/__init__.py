"""Training: the six optimizers, the recipe of a training, and the fit itself."""
