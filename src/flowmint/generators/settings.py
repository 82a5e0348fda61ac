"""Settings: one range for each name, checked wherever a generator is made, loaded or fitted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from flowmint.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Setting: TypeAlias = bool | int | float | str | None
"""A value of a setting, as run files and the command line can write it."""

WHOLE: dict[str, tuple[int, int]] = {
    "seed": (0, 2**63 - 1),
    "dimensions": (1, 2**20),
    "latent_dim": (1, 1024),
    "cells": (2, 4096),
    "autoencoder_width": (8, 8192),
    "autoencoder_steps": (1, 10_000_000),
    "width": (8, 8192),
    "blocks": (1, 64),
    "steps": (1, 10_000_000),
    "batch_rows": (1, 1_000_000),
    "evaluations": (1, 1000),
    "neighbours": (1, 1000),
    "critic_steps": (1, 100),
    "pack": (1, 100),
}
"""Whole-number settings and sizes: lowest and highest value."""

DECIMAL: dict[str, tuple[float, float]] = {
    "autoencoder_learning_rate": (1e-8, 1.0),
    "learning_rate": (1e-8, 1.0),
    "effort": (1e-3, 1000.0),
    "tolerance": (0.0, 1.0),
    "bandwidth": (0.0, 10.0),
    "class_power": (0.0, 1.0),
    "latent_noise": (0.0, 10.0),
    "mixing": (0.0, 1.0),
    "direct": (0.0, 1.0),
    "sharpness": (0.0, 10.0),
    "strictness": (0.0, 100.0),
    "beta": (0.0, 1000.0),
    "penalty": (0.0, 1000.0),
    "temperature": (1e-2, 100.0),
}
"""Decimal settings: lowest and highest value."""

CHOICES: dict[str, tuple[str | bool, ...]] = {
    "missing": ("learn", "drop", "error"),
    "solver": ("adams", "fitted", "dpm_solver", "heun", "euler", "ancestral"),
    "quality": ("fast", "balanced", "best"),
    "precision": ("auto", "float32", "bfloat16"),
    "schedule": ("rectified_flow", "variance_exploding", "variance_preserving"),
    "method": ("random", "smote", "smotenc", "borderline_smote", "adasyn"),
    "standardised": (True, False),
    "force_rules": (True, False),
}
"""Settings that are one of a few values."""


def is_whole(value: Any) -> bool:  # noqa: ANN401
    """Tell whether a value is a whole number; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_settings(given: Mapping[str, Any], *, optional: Collection[str]) -> None:
    """Check every setting of a generator against its range.

    Args:
        given: Values by name.
        optional: Settings that may be None, because they then follow the data.

    Raises:
        SettingError: A setting is of the wrong type or out of its range.
    """
    for name, value in given.items():
        if value is not None or name not in optional:
            check_setting(name, value)


def check_setting(name: str, value: Any) -> None:  # noqa: ANN401
    """Check one value against the range of its name.

    Args:
        name: A setting's name; names without a range are not checked.
        value: What was given.

    Raises:
        SettingError: It is of the wrong type or out of the range.
    """
    if name in CHOICES:
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in CHOICES[name]):
            allowed = ", ".join(repr(choice) for choice in CHOICES[name])
            message = f"{name} is {value!r}; allowed: {allowed}"
            raise SettingError(message)
    elif name in WHOLE:
        low, high = WHOLE[name]
        if not is_whole(value) or not low <= value <= high:
            message = f"{name} is {value!r}; give a whole number from {low} to {high}"
            raise SettingError(message)
    elif name in DECIMAL:
        least, most = DECIMAL[name]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not least <= value <= most:
            message = f"{name} is {value!r}; give a number from {least} to {most}"
            raise SettingError(message)
