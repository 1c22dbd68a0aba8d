"""Reading YAML: safely, and strictly where YAML itself is lax."""

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from covidcnn.errors import UserError

LARGEST = 10_000
"""Values in a file, each counted as often as it stands for."""

NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class _Loader(yaml.SafeLoader):
    """Builds plain values only, by the core schema of YAML 1.2, and refuses a name that is given twice, where PyYAML
    would take the last.

    PyYAML follows YAML 1.1, where 010 is 8, 1:30 is 90, yes is true, and 1e-3 is text.
    """

    yaml_implicit_resolvers: ClassVar[dict] = {}

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        # Here and not when values are built: there, names merged with << stand among a mapping's own.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for name, _ in node.value:
            if str(name.value) in seen:
                raise yaml.composer.ComposerError(None, None, f"'{name.value}' is given twice", name.start_mark)
            seen.add(str(name.value))
        return node


for _tag, _pattern in {
    "merge": "<<", "null": "~|null|Null|NULL|", "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "float": NUMBER.pattern,
}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)


def read_yaml(path: Path) -> Any:
    """The value of a YAML file; a UserError if it cannot be read, or see ``parse_yaml``."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not taken as YAML: {error}; write it in UTF-8") from error


def parse_yaml(text: str, source: str) -> Any:
    """The value of a YAML text, from ``source`` in messages; a UserError if it is no YAML, gives a name twice, or
    stands for too many values."""
    try:
        # A subclass of SafeLoader: no tag of the text makes anything but plain values.
        value = yaml.load(text, _Loader)
    # A date that no calendar has is a ValueError, and too deep a nesting a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split()).replace('in "<unicode string>", line', "in line")
        raise UserError(f"{source}: not taken as YAML: {problem}; mend that line") from error
    # Aliases (*name) let a few lines stand for billions of values, or for themselves.
    waiting, seen = [value], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > LARGEST:
            raise UserError(f"{source}: more than {LARGEST:,} values; write a smaller file")
        waiting += part if isinstance(part, list) else part.values() if isinstance(part, dict) else ()
    return value
