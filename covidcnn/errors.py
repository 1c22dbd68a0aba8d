"""What a user can mend: one clear line that names the file or value and the remedy."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

Entry = TypeVar("Entry")


class UserError(Exception):
    """Bad input. The command line prints the message without a traceback and exits with code 2."""


class DataError(UserError):
    """An image, a folder of images or a model file that cannot be used as it is."""


def named(known: Mapping[str, Entry], name: str, what: str) -> Entry:
    """The entry of that name, or a UserError that says which there are."""
    if name not in known:
        raise UserError(f"unknown {what} '{name}'; choose one of {', '.join(known)}")
    return known[name]


def few(names: Sequence[str], joint: str = ", ") -> str:
    """The first three of some names, and how many more there are."""
    return joint.join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
