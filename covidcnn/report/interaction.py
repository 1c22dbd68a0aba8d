"""What a reader does in a notebook: guess before a result is shown, and move what it depends on."""

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

from covidcnn.report.notebook_run import OUT_VARIABLE


def answer(guess: float | str | Collection[str] | None, found: float | str | Collection[str]) -> str:
    """What became of a guess, in a line.

    Args:
        guess: a number, a word or several words; None where the reader made none, as in a report.
        found: what the notebook found, of the same kind. Several words are the right ones together, in any order.
    """
    result = _told(found)
    if guess is None:
        return f"It is {result}. (No guess was made: give one where it says guess = None, and run both again.)"
    if isinstance(found, str | Collection):
        is_right = _words(guess) == _words(found)
        return f"You guessed {_told(guess)}; " + ("so it is." if is_right else f"it is {result}.")
    if isinstance(guess, bool) or not isinstance(guess, int | float):
        return f"It is {result}. ({guess!r} is no number: give one where it says guess = None.)"
    difference = guess - found
    direction = "high" if difference > 0 else "low"
    how = "on the spot" if abs(difference) < 0.005 else f"{abs(difference):.2f} too {direction}"
    return f"You guessed {_told(guess)}; it is {result}: {how}."


def sliders(show: Callable[..., Any], **values: Sequence[Any]) -> None:
    """Let the reader call ``show``, a plain function that draws a figure, with other values: in JupyterLab by a slider
    for each argument, which begins in the middle of its values. A report has no kernel to answer, and says so."""
    if os.environ.get(OUT_VARIABLE):
        print("Sliders need a kernel: open this notebook in JupyterLab (make lab). A report's explorer needs none.")
        return
    from ipywidgets import SelectionSlider, interact

    choices = {name: SelectionSlider(options=options, value=options[len(options) // 2], continuous_update=False)
               for name, options in values.items()}
    # A figure of pyplot is shown by the notebook itself; displayed as a result, too, it would stand there twice.
    interact.options(auto_display=False)(show, **choices)


def _words(given: Any) -> set[str]:
    words = [given] if isinstance(given, str) or not isinstance(given, Collection) else given
    return {str(word).lower() for word in words}


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, Collection) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
