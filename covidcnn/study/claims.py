"""What a paper claims, read from a YAML file: every statement with the rule that judges it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from inspect import Parameter, signature
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, create_model
from pydantic.dataclasses import dataclass

from covidcnn.errors import UserError, named
from covidcnn.models.options import Checked, checked, one_of
from covidcnn.study.conditions import Evidence
from covidcnn.study.verdicts import CANNOT_BE_TESTED, CONTRADICTION, Finding
from covidcnn.training.recipe import Recipe, settings_of
from covidcnn.yaml_files import read_yaml

Rule = Callable[..., Finding]
"""Takes what a claim gives it, then the evidence."""
Settings = Mapping[str, str | bool | int | float | tuple[float, ...] | None]
"""Of a recipe, by name: those that tell a condition from the others of its arm."""

SETTINGS = tuple(settings_of(Recipe(epochs=1)))
"""The names by which trials of one condition are found."""


@dataclass(frozen=True)
class Claim(Checked):
    """One statement of a paper."""

    name: Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    """Short, in words joined by hyphens; stays the same from report to report."""
    where: str
    """In the paper."""
    statement: str
    cell: str
    """The notebook cell that shows it: 'NN_notebook#cell-id'."""
    find: Callable[[Evidence], Finding]
    value: str = ""
    """What the paper gives, as it prints it; empty where it gives no number."""
    arms: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Of the protocol, on whose trials it rests; empty for what no training decides."""
    measure: str = ""
    """What is measured on these trials; of a difference, which minus which."""
    evidence_cell: str = ""
    """The notebook cell that shows these trials, where it is another than ``cell``."""
    settings: dict[Annotated[str, one_of(SETTINGS, "setting")], str] = field(default_factory=dict)
    """Where it rests on the trials of one condition alone: the settings by which these are found, by name."""
    counts_as: Annotated[str, Field(pattern="^(a finding|trivial|repeats .+)$")] = "a finding"
    """What it adds to the others: 'a finding', 'trivial' if it could hardly fail, or 'repeats NAME'."""


_FILE = TypeAdapter(dict[str, list[dict[str, Any]]])


def read_claims(path: Path, rules: Mapping[str, Rule], families: Mapping[str, Sequence[dict[str, Any]]]
                ) -> dict[str, tuple[Claim, ...]]:
    """The claims of a file by section, in its order.

    A claim has the fields of ``Claim``, and in place of ``find`` a ``rule`` and ``with``, what that is given. The rule
    is one of ``rules``, or one of the two verdicts that need no evidence ('contradicts itself' and 'cannot be tested',
    with ``because``). A rule that asks for ``arm`` or ``claimed`` is given the first of the claim's arms, or its value.
    What has ``each: NAME`` stands for all claims of a family, and says what these have in common.

    UserError if a field, rule or family is unknown, a value or what a rule is given is wrong, a name is given twice, or
    a claim repeats one that is not there.
    """
    known = {CONTRADICTION: _contradicts_itself, CANNOT_BE_TESTED: _cannot_be_tested} | dict(rules)
    value = read_yaml(path)
    try:
        sections = {section: tuple(_claim(one, known) for entry in entries for one in _members(entry, families))
                    for section, entries in checked(_FILE, value).items()}
        names = [claim.name for claims in sections.values() for claim in claims]
        for claim in chain.from_iterable(sections.values()):
            _require_names(claim, names)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return sections


def _members(entry: dict[str, Any], families: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    family = entry.pop("each", None)
    return [entry] if family is None else [entry | one for one in named(families, str(family), "family")]


def _claim(entry: dict[str, Any], rules: Mapping[str, Rule]) -> Claim:
    try:
        rule, given = named(rules, str(entry.pop("rule", "")), "rule"), entry.pop("with", {})
        # In this order, so that 'find' in the file is refused.
        claim = Claim(**{"find": rule} | entry)
        defaults = {name: found[0] for name, found in (("arm", claim.arms), ("claimed", [claim.value])) if any(found)}
        types = get_type_hints(rule)
        *wanted, _ = (one.name for one in signature(rule).parameters.values() if one.default is Parameter.empty)
        fields: dict[str, Any] = {name: (types.get(name, Any), defaults.get(name, ...)) for name in wanted}
        takes = create_model("given", __config__=ConfigDict(extra="forbid"), **fields)
        arguments = checked(TypeAdapter(dict[str, takes]), {"with": given})["with"]  # type: ignore[valid-type]
    except UserError as error:
        raise UserError(f"claim '{entry.get('name', '')}': {error}") from error
    return replace(claim, find=partial(rule, *(one for _, one in arguments)))


def _require_names(claim: Claim, names: Sequence[str]) -> None:
    """Raise a UserError unless its name is its own, and what it repeats is a claim."""
    if names.count(claim.name) > 1:
        raise UserError(f"claim '{claim.name}': the name is given twice; give one of the two another")
    if claim.counts_as.startswith("repeats ") and claim.counts_as.removeprefix("repeats ") not in names:
        raise UserError(f"claim '{claim.name}': '{claim.counts_as}', which is no claim; name one that is")


def _contradicts_itself(because: str, _: Evidence) -> Finding:
    return Finding(CONTRADICTION, because)


def _cannot_be_tested(because: str, _: Evidence) -> Finding:
    return Finding(CANNOT_BE_TESTED, because)
