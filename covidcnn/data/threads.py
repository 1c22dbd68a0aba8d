"""Reading many images on all cores."""

import os
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from joblib import Parallel, delayed

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""


def in_threads(function: Callable[[Item], Result], items: Collection[Item], progress: Progress | None = None
               ) -> Iterator[Result]:
    """``function`` of each item, in their order, as they are ready, so that memory does not grow.

    Items are handed out sixteen at a time: one by one, handing small images from thread to thread takes as long as
    decoding them.
    """
    results = Parallel(os.cpu_count() or 1, prefer="threads", batch_size=16, return_as="generator")(
        delayed(function)(item) for item in items)
    for done, result in enumerate(results, start=1):
        yield result
        if progress:
            progress(done, len(items))
