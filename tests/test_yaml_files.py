"""Reading YAML: strict where YAML is lax."""

import math

import pytest

from covidcnn.yaml_files import read_yaml


@pytest.fixture
def reading(tmp_path):
    def read(text):
        (tmp_path / "file.yaml").write_text(text)
        return read_yaml(tmp_path / "file.yaml")

    return read


def test_plain_values_are_read(reading):
    assert reading("a: [1, 2.5, x]\nb: {c: true, d: null}") == {"a": [1, 2.5, "x"], "b": {"c": True, "d": None}}


@pytest.mark.parametrize(("text", "value"), [
    ("010", 10), ("-08", -8), ("0o10", 8), ("0x1F", 31), ("1e-3", 0.001), (".5", 0.5), ("+1.", 1.0),
    ("-.inf", -math.inf), ("True", True), ("~", None), ("", None),
    *((text, text) for text in ("0b11", "1_000", "1:30", "1:30.5", "yes", "no", "on", "Off", "y", "2020-01-01", "0o8")),
])
def test_plain_text_is_what_the_core_schema_of_yaml_1_2_says(reading, text, value):
    got = reading(f"a: {text}")["a"]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: 2\na: 3", 3), ("a:\n  b: {c: 1}\n  d:\n    - {e: 1, e: 1}", 4),
                                            ("a: 1\n'a': 1", 2)])
def test_name_given_twice_is_refused_with_its_line(reading, refused, text, line):
    with refused("file.yaml", "is given twice", f"line {line}"):
        reading(text)


def test_what_is_merged_may_be_given_anew(reading):
    value = reading("p: {q: {b: &b {<<: &a {x: 1, y: 1}, x: 2}}}\nc: {<<: *b, y: 3}")
    assert value == {"p": {"q": {"b": {"x": 2, "y": 1}}}, "c": {"x": 2, "y": 3}}


@pytest.mark.parametrize("text", ["!!python/name:os.system", "!!python/object/new:tuple [[1]]", "a: !mine 1"])
def test_nothing_but_plain_values_is_made(reading, refused, text):
    with refused("file.yaml", "could not determine a constructor"):
        reading(text)
