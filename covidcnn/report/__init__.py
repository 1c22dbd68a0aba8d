"""Reports: a run's folder, the strict notebook runner, and the pages that people read."""
