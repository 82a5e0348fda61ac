"""Profiles: the rules of known extractors, one TOML file each."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from flowmint.errors import RuleError, nearest
from flowmint.rules.store import contents_of

NAMES = ("ciciot2023", "ciciot2023_v1", "cicflowmeter", "netflow_v9", "nfstream", "unsw_nb15", "nsl_kdd")
"""The profiles that there are."""


@cache
def contents(name: str) -> dict[str, Any]:
    """Give a profile's contents.

    Args:
        name: One of `NAMES`.

    Returns:
        The fields of `flowmint.Rules`.

    Raises:
        RuleError: There is no such profile.
    """
    if name not in NAMES:
        message = f"there is no profile {name!r}; {nearest(name, NAMES)}"
        raise RuleError(message)
    text = (files(__package__) / f"{name}.toml").read_text(encoding="utf-8")
    return contents_of(tomllib.loads(text), f"the profile {name!r}")
