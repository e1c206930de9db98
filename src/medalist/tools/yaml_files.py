"""Reads YAML strictly: keys may not repeat, and aliases may not expand a short file into a huge one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .decoding import decoded
from .failures import reading

MAX_VALUES = 100_000
"""Most values in a file after its aliases are expanded: a few lines of nested aliases could take gigabytes."""
MAX_BYTES = 10_000_000
_DATE = "tag:yaml.org,2002:timestamp"


class YamlError(ValueError):
    """A YAML file or value is invalid; the message says why and where, and does not quote it."""


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str | int | float | bool | None):
                raise YamlError(f"line {line:,}: a key must be a word")
            if name in seen:
                raise YamlError(f"line {line:,}: the key {name} stands on line {seen[name]:,} already; merge the two")
            seen[name] = line
        return super().construct_mapping(node, deep=deep)


# YAML 1.1 reads "no" as false and "2024-01-02" as a date, where people mean a name; YAML 1.2 does neither.
_Strict.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in ("tag:yaml.org,2002:bool", _DATE)]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Strict.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        YamlError: it is invalid, repeats a key, or expands to too many values.
    """
    try:
        loader = _Strict(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if (size := _unfolded(node, {})) > MAX_VALUES:
            raise YamlError(f"its aliases (*) unfold to {size:,} values, more than {MAX_VALUES:,}: write them out")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(f"line {line:,}: not valid YAML ({error.problem or error.context})") from None
    except yaml.YAMLError:
        raise YamlError("not valid YAML: it holds a character that is not allowed") from None
    except RecursionError:
        raise YamlError("not valid YAML: nested too deeply") from None
    except (ValueError, OverflowError) as error:  # a date such as 2024-99-99
        raise error if isinstance(error, YamlError) else YamlError(f"not valid YAML: {error}") from None


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping in a YAML file; empty if the file is empty.

    Raises:
        FileNotFoundError: there is no such file.
        YamlError: it is not valid YAML, or contains something other than a mapping.
    """
    if path.stat().st_size > MAX_BYTES:
        raise YamlError(f"{path} is not a recipe: it is larger than {MAX_BYTES // 10**6} MB")
    try:
        with reading(path):
            text, _ = decoded(path.read_bytes(), str(path))  # PowerShell's ">" writes UTF-16
        values = parse_yaml(text)
    except YamlError as error:
        raise YamlError(f"{path}, {error}") from None
    except OSError:
        raise
    except ValueError as error:
        raise YamlError(str(error)) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise YamlError(f"{path} holds no keys")
    return values


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values in a node, with each alias counted as what it stands for."""
    if id(node) in known:
        if not known[id(node)]:
            raise YamlError("an alias (*) stands inside what it names")
        return known[id(node)]
    known[id(node)] = 0  # being counted: an alias to it from within is an error
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_unfolded(part, known) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_unfolded(part, known) for part in node.value)
    known[id(node)] = size
    return size
