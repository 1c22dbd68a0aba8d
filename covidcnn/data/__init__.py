"""Data sets: what is on disk, what is known of it, how it is split and how it reaches a model."""
