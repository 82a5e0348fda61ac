"""The model folder: ``model.json`` and ``weights.safetensors``, written whole, checked on reading.

Nothing in a folder names a path: both files have fixed names, and the JSON records the size and
the SHA-256 of the other, so that a changed, cut or swapped file is noticed before it is parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from flowmint.errors import FlowmintError, ModelError, WriteError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VERSION = 4
ABOUT = "model.json"
WEIGHTS = "weights.safetensors"
LARGEST_ABOUT = 64 * 2**20
LARGEST_WEIGHTS = 4 * 2**30
KEYS = frozenset(
    {"format_version", "generator", "settings", "schema", "classes", "format", "validity", "learnt", "weights"}
)


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that was read and whose files are whole.

    Attributes:
        folder: Where it lies, for messages.
        about: The content of ``model.json``.
        arrays: The content of ``weights.safetensors``.
    """

    folder: Path
    about: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]

    @property
    def generator(self) -> str:
        """Name of the generator that wrote the folder."""
        return str(self.about["generator"])

    def error(self, why: str) -> ModelError:
        """Make the error for a folder that is not what it says."""
        return ModelError(f"{self.folder}: {why}")

    def settings(self, known: Iterable[str]) -> dict[str, Any]:
        """Give the saved settings.

        Args:
            known: The generator's setting names.

        Returns:
            Settings by name.

        Raises:
            ModelError: A setting is missing or unknown.
        """
        settings, names = self.about["settings"], sorted(known)
        if not isinstance(settings, dict):
            raise self.error("its settings are no table of names and values")
        for name in settings:
            if name not in names:
                raise self.error(f"unknown setting {name!r}; {nearest(name, names)}")
        if missing := [name for name in names if name not in settings]:
            raise self.error(f"setting {missing[0]!r} is missing")
        return settings

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn whatever a damaged content causes into one `ModelError` that names the folder."""
        try:
            yield
        except ModelError as error:
            raise self.error(str(error)) from error
        except FlowmintError as error:
            raise self.error(f"damaged: {error}") from error
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
            raise self.error(f"damaged ({type(error).__name__}: {error}); fit and save it again") from error


def write_folder(
    folder: str | Path, about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], *, overwrite: bool
) -> None:
    """Write a model folder beside its place, then move it there.

    Args:
        folder: Where to.
        about: What goes into ``model.json``.
        arrays: What goes into ``weights.safetensors``.
        overwrite: Whether an existing model folder may be replaced.

    Raises:
        WriteError: Something is in the way, or the disk refuses.
    """
    place = Path(folder)
    check_place(place, overwrite=overwrite)
    weights = save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    record = {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps({"format_version": VERSION, **about, "weights": record}, indent=1, ensure_ascii=False)
    partial = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        (partial / WEIGHTS).write_bytes(weights)
        (partial / ABOUT).write_text(text, encoding="utf-8")
        if place.exists():
            shutil.rmtree(place)
        partial.replace(place)
    except OSError as error:
        message = f"cannot write the model folder {place}: {error.strerror or error}; choose another place"
        raise WriteError(message) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_place(place: Path, *, overwrite: bool) -> None:
    """Refuse a place where no model folder may be written.

    Raises:
        WriteError: A file, a foreign folder, or a model folder that may not be replaced is there.
    """
    if not place.exists():
        return
    if not place.is_dir():
        message = f"{place} is a file; give a folder for the model"
        raise WriteError(message)
    names = {entry.name for entry in place.iterdir()}
    if names - {ABOUT, WEIGHTS}:
        message = f"{place} holds other files, such as {min(names - {ABOUT, WEIGHTS})!r}; give a new folder"
        raise WriteError(message)
    if names and not overwrite:
        message = f"{place} exists; give another folder, or allow overwriting"
        raise WriteError(message)


def read_folder(folder: str | Path) -> ModelFolder:
    """Read a model folder and check that its files are whole.

    Args:
        folder: The folder.

    Returns:
        Its content.

    Raises:
        ModelError: It is absent, has missing or extra files, another version, or damaged content.
    """
    place = Path(folder)
    if not place.is_dir():
        message = f"there is no model folder {place}; make one with: flowmint fit"
        raise ModelError(message)
    try:
        _check_names(place)
        about = _read_about(place)
        arrays = load_arrays(_read_weights(place, about["weights"]))
    except OSError as error:
        message = f"{place}: cannot be read: {error.strerror or error}"
        raise ModelError(message) from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        message = f"{place}/{WEIGHTS} is damaged ({error}); fit and save the model again"
        raise ModelError(message) from error
    return ModelFolder(folder=place, about=about, arrays=arrays)


def _check_names(place: Path) -> None:
    names = {entry.name for entry in place.iterdir()}
    for name in (ABOUT, WEIGHTS):
        if name not in names:
            message = f"{place}: the file {name} is missing; a model folder holds {ABOUT} and {WEIGHTS}"
            raise ModelError(message)
        if (place / name).is_symlink() or not (place / name).is_file():
            message = f"{place}: {name} is no plain file; copy the model folder with its content"
            raise ModelError(message)
    if extra := sorted(names - {ABOUT, WEIGHTS}):
        message = f"{place}: unexpected file {extra[0]!r}; a model folder holds {ABOUT} and {WEIGHTS} alone"
        raise ModelError(message)


def _read_about(place: Path) -> dict[str, Any]:
    path = place / ABOUT
    if path.stat().st_size > LARGEST_ABOUT:
        message = f"{path} has {path.stat().st_size} bytes; at most {LARGEST_ABOUT} are allowed"
        raise ModelError(message)
    try:
        about = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        message = f"{path} is no valid JSON ({error}); fit and save the model again"
        raise ModelError(message) from error
    if not isinstance(about, dict) or about.get("format_version") != VERSION:
        found = about.get("format_version") if isinstance(about, dict) else None
        message = f"{place}: model version {found!r}, this Flowmint reads version {VERSION}; fit the model again"
        raise ModelError(message)
    if set(about) != KEYS:
        odd = min(set(about) ^ KEYS)
        message = f"{path}: the entry {odd!r} is {'missing' if odd in KEYS else 'unknown'}"
        raise ModelError(message)
    return about


def _read_weights(place: Path, record: Any) -> bytes:  # noqa: ANN401
    path = place / WEIGHTS
    if not isinstance(record, dict) or set(record) != {"bytes", "sha256"}:
        message = f"{place / ABOUT}: 'weights' must record the bytes and sha256 of {WEIGHTS}, nothing else"
        raise ModelError(message)
    size = path.stat().st_size
    if size != record["bytes"] or size > LARGEST_WEIGHTS:
        message = f"{path} has {size} bytes where {record['bytes']!r} are recorded; copy the folder again"
        raise ModelError(message)
    weights = path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != record["sha256"]:
        message = f"{path} was changed after it was saved (SHA-256 differs); copy the folder again"
        raise ModelError(message)
    return weights
