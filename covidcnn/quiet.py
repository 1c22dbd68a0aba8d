"""Libraries in C++ kept from stderr."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is written to stderr in the block is seen. TensorFlow and LiteRT write past Python, before any log
    level applies; in a notebook their lines would stand in a cell's output."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
