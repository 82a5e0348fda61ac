"""Every setting has a range, and what lies outside is refused."""

from __future__ import annotations

import pytest

from flowmint.errors import SettingError
from flowmint.generators import MODELS, Generator, Oversampler
from flowmint.generators.settings import CHOICES, DECIMAL, WHOLE


def kind_with(setting: str) -> type[Generator]:
    """The first kind of generator that has a setting."""
    return next(kind for kind in MODELS.values() if setting in kind().get_params())


@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())
def test_the_defaults_are_in_their_ranges(kind):
    kind().check()


@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())
def test_every_setting_has_a_range(kind):
    ranged = {*WHOLE, *DECIMAL, *CHOICES, "device", "rules"}  # devices and rules are looked up when they are used
    assert set(kind().get_params()) <= ranged


@pytest.mark.parametrize(
    "setting",
    [
        *(
            {name: value}
            for name, (low, _) in WHOLE.items()
            if name not in {"dimensions", "neighbours"}
            for value in (low - 1, 1.5, "many", True)
        ),
        *({name: value} for name, (low, high) in DECIMAL.items() for value in (low - 1, high * 2, float("nan"), "x")),
        {"solver": "rk4"},
        {"solver": 3},
        {"schedule": "cosine"},
    ],
    ids=str,
)
def test_a_value_outside_is_refused_by_name(setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        kind_with(next(iter(setting)))(**setting).check()


@pytest.mark.parametrize("setting", [{"method": "tomek"}, {"standardised": 1}, {"neighbours": 0}], ids=str)
def test_an_oversamplers_value_outside_is_refused_by_name(setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        Oversampler(**setting).check()


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta", ""])
def test_an_unknown_device_is_refused(device):
    from flowmint.generators.tensors import find_device

    with pytest.raises(SettingError, match="device"):
        find_device(device)
