"""Tensors of generators: seeds, devices, class weights, and arrays of model folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from flowmint.errors import ModelError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


def spawn_seeds(seed: int, count: int) -> list[int]:
    """Derive independent seeds from one."""
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(count)]


def find_device(name: str) -> torch.device:
    """Turn a device's name into a device that exists.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU if there is one.

    Returns:
        The device.

    Raises:
        SettingError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        message = f"device is {name!r}; allowed: 'cpu', 'cuda' (or 'cuda:1' for the second GPU), 'auto'"
        raise SettingError(message) from error
    if device.type not in {"cpu", "cuda"}:
        message = f"device is {name!r}; allowed: 'cpu', 'cuda', 'auto'"
        raise SettingError(message)
    if device.type == "cuda" and (why := lacking_cuda(device.index)):
        message = f"device {name!r} is not there: {why}; use 'cpu', or 'auto' for a GPU where there is one"
        raise SettingError(message)
    return device


def device_here(name: str) -> str:
    """Give a device's name, or ``cpu`` where a GPU of that name is not there.

    Args:
        name: What a model was fitted on.

    Raises:
        SettingError: It is no device's name.
    """
    try:
        find_device(name)
    except SettingError:
        if str(name).split(":", maxsplit=1)[0] == "cuda":
            return "cpu"
        raise
    return name


def lacking_cuda(index: int | None) -> str | None:
    """Tell why a GPU cannot be used, and what would help; None if it can.

    Args:
        index: Its number; None for any.
    """
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA, install one with it (https://pytorch.org)"
    if not torch.cuda.is_available():
        return f"torch is built for CUDA {torch.version.cuda} but finds no GPU, see what nvidia-smi tells"
    found = torch.cuda.device_count()
    if index is not None and index >= found:
        return f"there {'is' if found == 1 else 'are'} {found}, numbered from cuda:0"
    return None


def find_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn a precision's name into the type of number that sampling computes with.

    Args:
        name: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the device multiplies it at least twice as fast.
        device: Where sampling computes.

    Returns:
        The type.
    """
    if name == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _multiplies_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _multiplies_bfloat16() -> bool:
    """Tell whether this processor has instructions that multiply bfloat16."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def class_weights(
    codes: npt.NDArray[np.int64], power: float, *, counts: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float64]:
    """Weigh rows so that a class of n rows weighs n^power in all.

    Args:
        codes: Class of each row [rows].
        power: 1 leaves classes as frequent as they are, 0 makes all equally frequent.
        counts: n of each class [classes], where the rows stand for more; as many as there are if absent.

    Returns:
        Weights [rows] with mean 1.
    """
    present = np.bincount(codes)
    weights = np.power(present[codes].astype(np.float64), power - 1.0)
    if counts is not None:
        weights = np.power(counts[codes].astype(np.float64), power) / present[codes]
    scaled: npt.NDArray[np.float64] = weights / weights.mean()
    return scaled


def module_arrays(module: nn.Module, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Give a module's weights as arrays by name."""
    return {f"{prefix}/{name}": weight.cpu().numpy() for name, weight in module.state_dict().items()}


def restore_module(
    module: nn.Module, arrays: Mapping[str, npt.NDArray[Any]], prefix: str, device: torch.device
) -> None:
    """Fill a module that lies on the meta device with saved weights.

    Args:
        module: The module, on the meta device.
        arrays: Weights by name.
        prefix: What their names begin with.
        device: Where the weights shall lie.

    Raises:
        ModelError: A weight is missing, of another shape or type, or not finite.
    """
    weights = {
        name: restore_array(arrays, f"{prefix}/{name}", tuple(expected.shape)).to(device)
        for name, expected in module.state_dict().items()
    }
    module.load_state_dict(weights, assign=True)
    module.eval()


def restore_array(arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]) -> Tensor:
    """Give one saved array as a tensor.

    Args:
        arrays: Arrays by name.
        name: Its name.
        shape: Its shape.

    Returns:
        float32 [shape].

    Raises:
        ModelError: It is missing, of another shape or type, or not finite.
    """
    array = arrays.get(name)
    if array is None or array.shape != shape or array.dtype != np.float32:
        found = "missing" if array is None else f"{array.dtype} {list(array.shape)}"
        message = f"{name} is {found} where float32 {list(shape)} is needed"
        raise ModelError(message)
    if not np.isfinite(array).all():
        message = f"{name} holds NaN or infinite numbers"
        raise ModelError(message)
    return torch.from_numpy(array.copy())
