"""Evaluation: every number is computed from per-image scores, and comes with its interval."""
