"""Rules in files: TOML for people, JSON for model folders; both are checked as input from others."""

from __future__ import annotations

import json
import math
import tomllib
from typing import TYPE_CHECKING, Any

from flowmint.errors import RuleError, nearest
from flowmint.flows.write import whole_file
from flowmint.rules.language import Evidence, Rule
from flowmint.rules.parse import parse_condition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORMAT = 1
"""The version of the files' layout."""

LARGEST = 1 << 23
"""How many bytes a rules file may have."""

MOST_RULES = 20_000
"""How many rules a file may have."""

FILE_KEYS = ("format", "name", "title", "columns", "optional", "mutable", "rules")
RULE_KEYS = ("name", "rule", "why", "classes", "evidence")
EVIDENCE_KEYS = ("rows", "share", "slack", "particular")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a rules file.

    Args:
        path: A TOML file.

    Returns:
        Its contents, checked by `contents_of` only.

    Raises:
        RuleError: It cannot be read, or is no TOML.
    """
    try:
        if path.stat().st_size > LARGEST:
            message = f"{path} has {path.stat().st_size:,} bytes; a rules file has at most {LARGEST:,}"
            raise RuleError(message)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise RuleError(message) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        message = f"{path} is no TOML file in UTF-8: {error}"
        raise RuleError(message) from error


def contents_of(obj: object, source: str) -> dict[str, Any]:
    """Check the contents of a rules file and read its rules.

    Args:
        obj: What TOML or JSON gave.
        source: What to call it in errors.

    Returns:
        The fields of `Rules`, all of them.

    Raises:
        RuleError: A key is unknown, absent or of the wrong kind, a rule cannot be read, or two have one name.
    """
    table = _table(obj, FILE_KEYS, source)
    if type(table.get("format")) is not int or table["format"] != FORMAT:
        message = f"{source} has the format {table.get('format')!r}; this Flowmint reads 'format = {FORMAT}'"
        raise RuleError(message)
    entries = table.get("rules", [])
    if not isinstance(entries, list) or len(entries) > MOST_RULES:
        message = f"{source}: 'rules' is a list of at most {MOST_RULES:,} tables, each under [[rules]]"
        raise RuleError(message)
    return {
        "rules": tuple(_rule(entry, f"{source}, rule {number}") for number, entry in enumerate(entries, start=1)),
        "name": _text(table, "name", source),
        "title": _text(table, "title", source),
        "columns": _texts(table, "columns", source),
        "optional": _texts(table, "optional", source),
        "mutable": _texts(table, "mutable", source) if "mutable" in table else None,
    }


def _rule(entry: object, source: str) -> Rule:
    table = _table(entry, RULE_KEYS, source)
    name = _text(table, "name", source)
    where = f"{source} ({name!r})"
    if not name or "rule" not in table:
        message = f"{where}: a rule needs a 'name' and a 'rule'"
        raise RuleError(message)
    try:
        condition = parse_condition(_text(table, "rule", where))
    except RuleError as error:
        message = f"{where}, {error}"
        raise RuleError(message) from None
    evidence = _evidence(table["evidence"], where) if "evidence" in table else None
    return Rule(
        name=name,
        condition=condition,
        classes=_texts(table, "classes", where),
        why=_text(table, "why", where),
        evidence=evidence,
    )


def _evidence(obj: object, source: str) -> Evidence:
    table = _table(obj, EVIDENCE_KEYS, f"{source}, evidence")
    rows, share, slack = table.get("rows", 0), table.get("share", 1.0), table.get("slack")
    particular = table.get("particular", False)
    sound = (
        type(rows) is int
        and rows >= 0
        and type(share) in (int, float)
        and 0 <= share <= 1
        and (slack is None or (type(slack) in (int, float) and not math.isnan(slack)))
        and type(particular) is bool
    )
    if not sound:
        kinds = "'rows' (a count), 'share' (0 to 1), 'slack' (a number), 'particular' (true or false)"
        message = f"{source}: evidence has {kinds}"
        raise RuleError(message)
    return Evidence(rows=rows, share=float(share), slack=None if slack is None else float(slack), particular=particular)


def _table(obj: object, keys: Sequence[str], source: str) -> dict[str, Any]:
    if not isinstance(obj, dict):
        message = f"{source} is no table of keys and values"
        raise RuleError(message)
    for key in obj:
        if key not in keys:
            message = f"{source} has the key {str(key)[:80]!r}; {nearest(str(key)[:80], keys)}"
            raise RuleError(message)
    return obj


def _text(table: Mapping[str, Any], key: str, source: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        message = f"{source}: {key!r} is {str(value)[:80]!r}; give text"
        raise RuleError(message)
    return value


def _texts(table: Mapping[str, Any], key: str, source: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        message = f"{source}: {key!r} is {str(value)[:80]!r}; give a list of texts"
        raise RuleError(message)
    if len(set(value)) < len(value):
        message = f"{source}: {key!r} names one thing twice"
        raise RuleError(message)
    return tuple(value)


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """Describe a rule in JSON, leaving out what is empty."""
    entry: dict[str, Any] = {"name": rule.name, "rule": rule.text}
    if rule.why:
        entry["why"] = rule.why
    if rule.classes:
        entry["classes"] = list(rule.classes)
    if rule.evidence is not None:
        evidence = {"rows": rule.evidence.rows, "share": rule.evidence.share, "particular": rule.evidence.particular}
        entry["evidence"] = evidence if rule.evidence.slack is None else {**evidence, "slack": rule.evidence.slack}
    return entry


def write_toml(contents: Mapping[str, Any], path: Path) -> None:
    """Write a rules file; an existing one is replaced once the new one is whole.

    Args:
        contents: The file's keys and values.
        path: Where to.

    Raises:
        WriteError: The disk refuses.
    """
    lines = [f"{key} = {_toml(value)}" for key, value in contents.items() if key != "rules"]
    for rule in contents["rules"]:
        lines += ["", "[[rules]]", *(f"{key} = {_toml(value)}" for key, value in rule.items())]
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: object) -> str:
    """Write a value of TOML on one line; text with quotes stands between single ones, to stay legible."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            plain = value.isprintable() and "'" not in value
            return f"'{value}'" if plain and ('"' in value or "\\" in value) else _basic(value)
        case list():
            return f"[{', '.join(_toml(each) for each in value)}]"
        case dict():
            return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    raise AssertionError(value)


def _basic(text: str) -> str:
    """Write a basic string: JSON's escapes are TOML's, but for U+007F and halves of surrogate pairs."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
