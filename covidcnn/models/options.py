"""What the options of models, and recipes, have in common: values that pydantic checks, in errors of one line."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from covidcnn.errors import UserError, named
from covidcnn.yaml_files import NUMBER

if TYPE_CHECKING:
    from covidcnn.backend import keras

Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, strict=False)]
"""Numbers of kernels; a list is taken for a tuple."""
Momentum = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Checked:
    """A dataclass of pydantic whose fields take nothing but their type: whole numbers for floats, and lists for tuples
    where the field says so. A wrong value is a UserError."""

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, value: Any, build: Any) -> Any:
        try:
            return build(value)
        except ValidationError as error:
            raise _in_words(error) from error


def checked(adapter: TypeAdapter, fields: dict[str, Any]) -> Any:
    """The adapter's dataclass, which checks no types itself, with these fields; a UserError if one has another."""
    try:
        return adapter.validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        raise _in_words(error) from error


def _in_words(error: ValidationError) -> UserError:
    # What is misspelt before what is missing for that.
    first = min(error.errors(), key=lambda one: one["type"] == "missing")
    given, place = first["input"], ", ".join(map(str, first["loc"]))
    remedy = ("; write true or false" if first["type"] == "bool_type" else "; write it without quotes"
              if isinstance(given, str) and NUMBER.fullmatch(given) else "")
    instead = "" if first["type"] == "missing" else f", not {given!r}{remedy}"
    return UserError(f"{place}: {first['msg'].split(' after validation')[0]}{instead}")


def one_of(known: Iterable[str], what: str) -> AfterValidator:
    """Of a field: its value is one of the known ones."""
    return AfterValidator(lambda value: named(dict.fromkeys(known, value), value, what))


def some_of(known: Iterable[str], what: str) -> AfterValidator:
    """Of a field: its values are known ones; they are put in the order of those, and each but once, so that what is
    equal compares equal."""
    def ordered(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            named(dict.fromkeys(known, value), value, what)
        return tuple(name for name in known if name in values)

    return AfterValidator(ordered)


@dataclass(frozen=True)
class Pretrained(Checked):
    """What networks that have learnt from other images have in common."""

    pretrained: bool = True
    """Begin with the weights of ImageNet; the last layer begins anew."""
    trainable: Annotated[str, one_of(("all", "head"), "part to train")] = "all"
    """'head': the last layer alone; all others stay as they are, moving averages too."""
    dropout: Annotated[float, Field(ge=0, le=0.99)] = 0.2
    """Rate before the last layer."""
    batch_norm_momentum: Momentum = 0.99


def initial_weights(seed: int, position: int) -> "keras.initializers.Initializer":
    """Glorot's, with a seed of its own for each layer: what was built before in the process has no say."""
    from covidcnn.backend import keras

    return keras.initializers.GlorotUniform(seed=1000 * seed + position)
