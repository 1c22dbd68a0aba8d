"""Reading many images on all cores."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``function`` of each item, in their order, as they are ready.

    Items are handed out sixteen at a time: one by one, handing small images from thread to thread takes as long as
    decoding them. What is ready waits for its reader in small numbers, so that memory does not grow.
    """
    return Parallel(os.cpu_count() or 1, prefer="threads", batch_size=16, return_as="generator")(
        delayed(function)(item) for item in items)
