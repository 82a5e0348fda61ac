"""Minting by chunks, on all cores: each chunk follows from the seed and its number, whoever mints it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowmint.progress import Progress

Mint = Callable[[int, torch.Generator], pl.DataFrame]
"""Mints so many rows with a source of randomness; may be called from several threads at once."""

CHUNK = 8192
"""Rows that a processor mints together."""

LARGE_CHUNK = 1 << 18
"""Rows that a GPU mints together: enough for it to be busy with each kernel."""


def mint_chunks(
    mint: Mint,
    *,
    rows: int,
    seed: tuple[int, ...],
    device: torch.device,
    progress: Progress,
) -> pl.DataFrame:
    """Mint rows chunk by chunk.

    On a processor each of torch's threads mints chunks of its own: the networks are small, and threads that share a
    chunk wait for each other.

    Args:
        mint: What mints a chunk.
        rows: How many rows in all, one or more.
        seed: What the rows follow from.
        device: Where the sources of randomness shall lie.
        progress: Told of each chunk that is done.

    Returns:
        The rows [rows, columns].
    """
    most = CHUNK if device.type == "cpu" else LARGE_CHUNK
    sizes = [min(most, rows - start) for start in range(0, rows, most)]

    def work(number: int) -> pl.DataFrame:
        own = int(np.random.default_rng([*seed, number]).integers(2**63))
        return mint(sizes[number], torch.Generator(device).manual_seed(own))

    parts = []
    with progress.stage("sampling", total=rows, unit="rows") as stage, _workers(len(sizes), device) as workers:
        finished = map(work, range(len(sizes))) if workers is None else workers.map(work, range(len(sizes)))
        for part in finished:
            parts.append(part)
            stage.advance(part.height)
    return pl.concat(parts)


@contextmanager
def _workers(chunks: int, device: torch.device) -> Iterator[ThreadPoolExecutor | None]:
    """Open a pool of threads that compute on one core each; None where it would not pay."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or min(chunks, threads) < 2:
        yield None
        return
    pool = ThreadPoolExecutor(min(chunks, threads), initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a thread's number is what new threads begin with


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core, so that results do not depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
