"""Generators: fit a labelled flow table, sample rows by class, save, load."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from flowmint.errors import SettingError, nearest
from flowmint.generators.base import Generator
from flowmint.generators.data_diffusion import DataDiffusion
from flowmint.generators.folder import read_folder
from flowmint.generators.gan import GAN
from flowmint.generators.latent_diffusion import LatentDiffusion
from flowmint.generators.oversample import Oversampler
from flowmint.generators.settings import check_settings
from flowmint.generators.vae import VAE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from flowmint.generators.settings import Setting
    from flowmint.rules.ruleset import Rules

GENERATORS: dict[str, Callable[..., Generator]] = {
    "latent_diffusion": LatentDiffusion,
    "data_diffusion": DataDiffusion,
    "data_diffusion_ddpm": partial(
        DataDiffusion,
        schedule="variance_preserving",
        solver="ancestral",
        evaluations=1_000,
        sharpness=0.0,
        strictness=0.0,
    ),
    "vae": VAE,
    "gan": GAN,
    "random_oversampling": partial(Oversampler, method="random"),
    "smote": partial(Oversampler, method="smote"),
    "smote_standardised": partial(Oversampler, method="smote", standardised=True),
    "smotenc": partial(Oversampler, method="smotenc", standardised=True),
    "borderline_smote": partial(Oversampler, method="borderline_smote"),
    "borderline_smote_standardised": partial(Oversampler, method="borderline_smote", standardised=True),
    "adasyn": partial(Oversampler, method="adasyn"),
    "adasyn_standardised": partial(Oversampler, method="adasyn", standardised=True),
}
"""Every generator by the name that the command line, run files and reports use."""

MODELS: dict[str, type[Generator]] = {
    kind.name: kind for kind in (LatentDiffusion, DataDiffusion, VAE, GAN, Oversampler)
}
"""Every kind of model folder by the name that it records."""

__all__ = [
    "GAN",
    "GENERATORS",
    "VAE",
    "DataDiffusion",
    "Generator",
    "LatentDiffusion",
    "Oversampler",
    "load_generator",
    "make_generator",
]


def make_generator(
    name: str,
    *,
    seed: int = 0,
    missing: str = "learn",
    rules: str | Rules = "auto",
    force_rules: bool = False,
    quality: str | None = None,
    device: str | None = None,
    settings: Mapping[str, Setting] | None = None,
) -> Generator:
    """Make a generator.

    Args:
        name: A name in `GENERATORS`.
        seed: Its seed.
        missing: Its missing-value policy.
        rules: What every minted row satisfies: ``auto``, ``none``, a rules file, a profile, or rules.
        force_rules: Whether rules are kept although more real rows break one of them than may.
        quality: How much time sampling takes, see `Generator.at_quality`; None for what is usual.
        device: Where it computes: ``cpu``, ``cuda`` or ``auto``; None for what is usual.
        settings: Those of its settings that shall not be the usual ones, by name. They count for more than ``seed``,
            ``missing``, ``rules`` and ``force_rules``.

    Returns:
        The generator, not yet fitted.

    Raises:
        SettingError: There is no generator of that name, it has no such quality or setting, a setting is of the wrong
            type or out of its range, or there is no such device.
    """
    if name not in GENERATORS:
        message = f"unknown generator {name!r}; {nearest(name, GENERATORS, show=len(GENERATORS))}"
        raise SettingError(message)
    given = dict(settings or {})
    _check_known(name, given)
    usual = {"seed": seed, "missing": missing, "rules": rules, "force_rules": force_rules}
    return GENERATORS[name](**{**usual, **given}).at_quality(quality).on_device(device)


def _check_known(name: str, given: Mapping[str, Setting]) -> None:
    """Refuse settings that a generator does not have, or not with such values."""
    known = {part.name: part.default for part in fields(cast("Any", GENERATORS[name]()))}
    for key in given:
        if key not in known:
            message = f"generator {name!r} has no setting {key!r}; {nearest(key, sorted(known))}"
            raise SettingError(message)
    check_settings(given, optional={key for key, usual in known.items() if usual is None})


def load_generator(folder: str | Path, *, device: str | None = None) -> Generator:
    """Read a fitted generator of any kind from a model folder.

    Args:
        folder: What `Generator.save` wrote.
        device: Where to sample: ``cpu``, ``cuda`` or ``auto``; None for the device that it was fitted on, or the
            processor where that is absent.

    Returns:
        The fitted generator.

    Raises:
        ModelError: The folder is absent, damaged or of another version.
        SettingError: There is no such device.
    """
    model = read_folder(folder)
    if model.generator not in MODELS:
        raise model.error(f"unknown generator {model.generator!r}; {nearest(model.generator, MODELS)}")
    return MODELS[model.generator].from_folder(model, device=device)
