"""The connection to a Ray cluster."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flowmint.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a Ray cluster for the length of a ``with`` block; a connection that there is, is used and left.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, ``local`` to start one here, or where it is.

    Yields:
        The module ``ray``.

    Raises:
        SettingError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here tells nobody
    try:
        import ray
    except ImportError as error:
        message = "Ray is not installed; install it with: pip install 'flowmint[ray]'"
        raise SettingError(message) from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        told = str(error).splitlines()[0]
        message = f"no Ray cluster at {address!r} ({told}); start one with 'ray start --head', or give --ray local"
        raise SettingError(message) from error
    try:
        yield ray
    finally:
        ray.shutdown()
