"""Workers: processes that train one network together, each on its share of every batch.

Their number and the number of each are those of `torch.distributed` where that is initialised, by ``torchrun``, by Ray
Train or by the caller; otherwise there is one. After each backward pass gradients are averaged, so that all workers
take the same step from the same weights. The draws of a worker's step follow from the seed, its number and the step,
so that only the first needs to keep anything.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor


def count() -> int:
    """Tell how many workers there are, this one included."""
    return distributed.get_world_size() if _together() else 1


def number() -> int:
    """Tell which worker this is, from 0."""
    return distributed.get_rank() if _together() else 0


def share(rows: int) -> int:
    """Tell how many of a batch's rows a worker draws: an equal share, rounded up."""
    return -(-rows // count())


def average(gradients: Iterable[Tensor]) -> None:
    """Replace gradients by their averages over all workers, in place; all must call this together."""
    if count() == 1:
        return
    tensors = list(gradients)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= count()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def from_first(value: int, device: torch.device) -> int:
    """Give the first worker's number to all; all must call this together."""
    if count() == 1:
        return value
    told = torch.tensor(value, device=device)
    distributed.broadcast(told, src=0)
    return int(told)


def spread(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by the first worker's, in place; all must call this together."""
    if count() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def reseed(generator: torch.Generator, *, seed: int, step: int) -> None:
    """Seed the draws of a worker's step; one worker alone goes on drawing as it would."""
    if count() > 1:
        generator.manual_seed(int(np.random.default_rng([seed, number(), step]).integers(2**63)))


@contextmanager
def joined(device: str) -> Iterator[bool]:
    """Join the workers that ``torchrun`` started, for the length of a ``with`` block.

    Args:
        device: Where they compute, as settings call it.

    Yields:
        Whether this is the first worker, which alone writes and tells.
    """
    if _together() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield number() == 0
        return
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield number() == 0
    finally:
        distributed.destroy_process_group()


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
