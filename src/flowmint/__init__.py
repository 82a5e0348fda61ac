"""Flowmint mints rare attack traffic with latent diffusion, for flow tables.

The public names are loaded on first use, so that ``import flowmint`` is quick and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowmint.errors import FlowmintError

if TYPE_CHECKING:
    from flowmint.balance import Balancer, balance_table
    from flowmint.evaluate.auto import choose_targets
    from flowmint.evaluate.evaluation import evaluate_tables
    from flowmint.evaluate.leakage import audit_leakage
    from flowmint.flows.inspect import inspect_table
    from flowmint.flows.read import read_table
    from flowmint.flows.simulate import simulate
    from flowmint.flows.write import write_table
    from flowmint.generators import GAN, GENERATORS, VAE, DataDiffusion, LatentDiffusion, Oversampler, load_generator
    from flowmint.rules.ruleset import Rules

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "GENERATORS",
    "VAE",
    "Balancer",
    "DataDiffusion",
    "FlowmintError",
    "LatentDiffusion",
    "Oversampler",
    "Rules",
    "__version__",
    "audit_leakage",
    "balance_table",
    "choose_targets",
    "evaluate_tables",
    "inspect_table",
    "load_generator",
    "read_table",
    "simulate",
    "write_table",
]

_HOMES = {
    "GAN": "flowmint.generators",
    "GENERATORS": "flowmint.generators",
    "VAE": "flowmint.generators",
    "Balancer": "flowmint.balance",
    "DataDiffusion": "flowmint.generators",
    "LatentDiffusion": "flowmint.generators",
    "Oversampler": "flowmint.generators",
    "Rules": "flowmint.rules.ruleset",
    "audit_leakage": "flowmint.evaluate.leakage",
    "balance_table": "flowmint.balance",
    "choose_targets": "flowmint.evaluate.auto",
    "evaluate_tables": "flowmint.evaluate.evaluation",
    "inspect_table": "flowmint.flows.inspect",
    "load_generator": "flowmint.generators",
    "read_table": "flowmint.flows.read",
    "simulate": "flowmint.flows.simulate",
    "write_table": "flowmint.flows.write",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load a public name from its module when it is first asked for."""
    if name not in _HOMES:
        message = f"module 'flowmint' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
