from __future__ import annotations

import subprocess
import sys

import pytest

import flowmint


def test_importing_flowmint_loads_nothing_heavy():
    code = "import flowmint, sys; print({'torch', 'polars', 'sklearn', 'numpy', 'pyarrow', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", flowmint.__all__)
def test_every_public_name_is_there(name):
    assert getattr(flowmint, name) is not None
    assert name in dir(flowmint)


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'Diffusion'"):
        flowmint.Diffusion  # noqa: B018
