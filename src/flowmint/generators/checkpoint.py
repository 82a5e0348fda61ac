"""The checkpoint: what an interrupted fit goes on from, a folder that is removed when the fit is whole.

``checkpoint.json`` tells what is fitted to what, and names for each stage of training one file of tensors with its size
and SHA-256. A file is written whole before it is named, and what is named no more is deleted, so that whenever the
power fails the folder holds one state that fits together. No name in it is a path: files are called by their stage and
step. What is read is checked like a model folder, for a checkpoint is a file from outside too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from flowmint.errors import ModelError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from flowmint.diffusion.train import State

VERSION = 1
ABOUT = "checkpoint.json"
LARGEST_ABOUT = 2**20
TENSORS = re.compile(r"(?P<stage>[a-z]+)-(?P<step>\d{1,8})\.safetensors")
PARTIAL = re.compile(r"\.[a-z]+(-\d+)?\.(json|safetensors)\.partial")

COPY_SECONDS = 1.0
"""After so many seconds the state is copied again; a training that is interrupted loses no more."""

WRITE_SECONDS = 30.0
"""After so many seconds the copy is written; a machine that fails loses no more."""


@dataclass
class Checkpoint:
    """Keeps a fit's trainings in a folder; as a context, removes it where the block ends well.

    Attributes:
        folder: The folder; made when there is something to keep.
        replace: Whether a checkpoint of another fit, or a damaged one, is discarded instead of refused.
        request: What is fitted to what; empty before `begin`.
        stages: Name of each stage that is kept: its step, and its file's bytes and SHA-256.
    """

    folder: Path
    replace: bool = False
    request: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    _alone: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @classmethod
    def beside(cls, place: Path, *, replace: bool = False) -> Self:
        """Give the checkpoint of the fit that makes a model folder: ``.model.checkpoint`` beside ``model``."""
        return cls(place.with_name(f".{place.name}.checkpoint"), replace)

    def __enter__(self) -> Self:
        """Begin a fit."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder if the fit is whole."""
        if kind is None:
            self.remove()

    @property
    def reached(self) -> str | None:
        """Where the next fit goes on, in words; None if nothing is kept."""
        if not self.stages:
            return None
        stage, record = list(self.stages.items())[-1]
        return f"step {record['step']:,} of {stage}"

    def begin(self, request: Mapping[str, Any]) -> None:
        """Take up what is kept of the same fit.

        Args:
            request: What is fitted to what, everything that decides the result: JSON.

        Raises:
            ModelError: The folder holds a checkpoint of another fit, a damaged one, or something else.
        """
        self.request, self.stages = dict(request), {}
        if not os.path.lexists(self.folder):
            return
        self._check_names()
        try:
            if (self.folder / ABOUT).exists():
                self.stages = self._read_about()
        except ModelError:
            if not self.replace:
                raise
            self.remove()

    def stage(self, name: str) -> StageKeep:
        """Give what one stage of training is kept by.

        Args:
            name: The stage's name, of lower-case letters.
        """
        return StageKeep(self, name)

    def read(self, stage: str, like: Mapping[str, Tensor], *, steps: int) -> tuple[int, State] | None:
        """Give what is kept of a stage.

        Args:
            stage: Its name.
            like: Tensors of the names, shapes and types that its state has.
            steps: How many steps it takes.

        Returns:
            The step and the state after it; None if nothing is kept.

        Raises:
            ModelError: What is kept is damaged.
        """
        record = self.stages.get(stage)
        if record is None:
            return None
        if not 1 <= record["step"] <= steps:
            raise self._damaged(f"{stage} is at step {record['step']} of {steps}")
        path = self.folder / file_name(stage, record["step"])
        most = sum(tensor.nbytes for tensor in like.values()) + 1024 * (1 + len(like))  # tensors, and their names
        if record["bytes"] > most or path.stat().st_size != record["bytes"]:
            raise self._damaged(f"{path.name} has not the size that it should have")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise self._damaged(f"{path.name} was changed after it was written (SHA-256 differs)")
        try:
            state = load_tensors(content)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"{path.name}: {error}") from error
        if why := unlike(state, like):
            raise self._damaged(f"{path.name}: {why}")
        return record["step"], state

    def write(self, stage: str, step: int, state: Mapping[str, Tensor]) -> None:
        """Keep what a stage is after a step in place of what was kept of it; stages may run beside each other.

        Args:
            stage: Its name.
            step: How many steps are done.
            state: What it is.

        Raises:
            WriteError: The disk refuses.
        """
        content = save_tensors({name: tensor.contiguous() for name, tensor in state.items()})
        record = {"step": step, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        try:
            with self._alone:
                self._write(stage, record, content)
        except OSError as error:
            message = f"cannot keep the checkpoint {self.folder}: {error.strerror or error}; give --out another place"
            raise WriteError(message) from error

    def _write(self, stage: str, record: dict[str, Any], content: bytes) -> None:
        stages = {**self.stages, stage: record}
        about = {"format_version": VERSION, "request": self.request, "stages": stages}
        self.folder.mkdir(exist_ok=True)
        write_whole(self.folder / file_name(stage, record["step"]), content)
        write_whole(self.folder / ABOUT, json.dumps(about, indent=1, ensure_ascii=False).encode())
        named = {file_name(name, each["step"]) for name, each in stages.items()}
        for path in self.folder.iterdir():
            if path.name != ABOUT and path.name not in named:
                path.unlink()
        self.stages = stages

    def remove(self) -> None:
        """Delete the folder with what it holds.

        Raises:
            ModelError: It holds something else.
        """
        self.stages = {}
        if not os.path.lexists(self.folder):
            return
        self._check_names()
        for path in sorted(self.folder.iterdir(), key=lambda path: path.name != ABOUT):  # what names the others first
            path.unlink()
        self.folder.rmdir()

    def _check_names(self) -> None:
        """Refuse a folder that is not ours, before anything in it is read or deleted."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            message = f"{self.folder} is no folder; a checkpoint would be kept there: remove it, or give another place"
            raise ModelError(message)
        for path in self.folder.iterdir():
            ours = path.name == ABOUT or TENSORS.fullmatch(path.name) or PARTIAL.fullmatch(path.name)
            if not ours or path.is_symlink() or not path.is_file():
                message = f"{self.folder} holds {path.name!r}, which is no part of a checkpoint; remove it"
                raise ModelError(message)

    def _read_about(self) -> dict[str, dict[str, Any]]:
        """Read what the stages' files are called, if they belong to what is fitted."""
        path = self.folder / ABOUT
        if path.stat().st_size > LARGEST_ABOUT:
            raise self._damaged(f"{ABOUT} is too large")
        try:
            about = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{ABOUT} is no valid JSON ({error})") from error
        if not isinstance(about, dict) or json.dumps(about.get("format_version")) != str(VERSION):
            raise self._damaged(f"{ABOUT} is of another version")
        self._check_request(about.get("request"))
        stages = about.get("stages")
        if not isinstance(stages, dict) or not all(is_record(name, each) for name, each in stages.items()):
            raise self._damaged(f"{ABOUT} tells no stages")
        for name, each in stages.items():
            if not (self.folder / file_name(name, each["step"])).exists():
                raise self._damaged(f"{file_name(name, each['step'])} is missing")
        return stages

    def _check_request(self, found: Any) -> None:  # noqa: ANN401 - whatever the file holds
        """Refuse what is kept of another fit."""
        if not isinstance(found, dict):
            raise self._damaged(f"{ABOUT} does not tell what is fitted")
        other = differing(found, json.loads(json.dumps(self.request)))
        if other:
            message = (
                f"{self.folder} is the checkpoint of a fit with another {' and '.join(other)}; repeat that command to "
                "finish it, or delete the folder (--force) to begin anew"
            )
            raise ModelError(message)

    def _damaged(self, why: str) -> ModelError:
        return ModelError(f"{self.folder} is damaged: {why}; delete the folder (--force) to begin anew")


@dataclass
class StageKeep:
    """Keeps one stage of training, see `flowmint.diffusion.train.Keep`: copied often, written now and then.

    Attributes:
        checkpoint: Where it is written.
        name: The stage's name.
        step: The last step that was copied; 0 if none was.
        copied: When that was, in seconds.
        written: When it was written last, in seconds.
        latest: The copy, until it is written.
    """

    checkpoint: Checkpoint
    name: str
    step: int = 0
    copied: float = field(default_factory=time.monotonic)
    written: float = field(default_factory=time.monotonic)
    latest: State | None = None

    def recall(self, like: Mapping[str, Tensor], *, steps: int) -> tuple[int, State] | None:
        """Give what is kept of the stage."""
        return self.checkpoint.read(self.name, like, steps=steps)

    def offer(self, step: int, copy: Callable[[], State]) -> None:
        """Copy the state after a step if the last copy is old, and write it if what is written is old."""
        now = time.monotonic()
        if now - self.copied < COPY_SECONDS:
            return
        self.step, self.latest, self.copied = step, copy(), now
        if now - self.written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the last copy, unless it is written already or there is none."""
        if self.latest is None:
            return
        self.checkpoint.write(self.name, self.step, self.latest)
        self.latest, self.written = None, time.monotonic()


def file_name(stage: str, step: int) -> str:
    """Name the file that holds what a stage is after a step."""
    return f"{stage}-{step}.safetensors"


def is_record(name: str, record: Any) -> bool:  # noqa: ANN401 - whatever the file holds
    """Tell whether a record of a stage says what it should."""
    return (
        re.fullmatch(r"[a-z]+", name) is not None
        and isinstance(record, dict)
        and set(record) == {"step", "bytes", "sha256"}
        and type(record["step"]) is int
        and 1 <= record["step"] < 10**8
        and type(record["bytes"]) is int
        and isinstance(record["sha256"], str)
    )


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Name what differs between what was fitted and what is to be: settings each, rows only where nothing else does."""
    pairs = {name: (found.get(name), wanted.get(name)) for name in sorted({*found, *wanted})}
    names = [name for name, (one, other) in pairs.items() if one != other]
    one, other = pairs.get("settings", (None, None))
    if one != other and isinstance(one, dict) and isinstance(other, dict):
        names.remove("settings")
        names += differing(one, other)
    told = [name for name in names if name != "data"]  # another seed encodes the same rows otherwise
    return told or names


def unlike(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> str | None:
    """Tell how a state differs from what it should be; None if it does not.

    Args:
        state: Tensors by name.
        like: Tensors of the names, shapes and types that it should have.
    """
    if odd := set(state) ^ set(like):
        return f"{min(odd)} is {'missing' if min(odd) in like else 'unknown'}"
    for name, expected in like.items():
        found = state[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return (
                f"{name} is {found.dtype} {list(found.shape)} where {expected.dtype} {list(expected.shape)} is needed"
            )
        if found.is_floating_point() and not bool(found.isfinite().all()):
            return f"{name} holds NaN or infinite numbers"
    if "generator" in like and len(like["generator"]) == len(torch.Generator().get_state()):
        try:
            torch.Generator().set_state(state["generator"])
        except RuntimeError as error:
            return f"generator is no source of randomness ({error})"
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that after a loss of power it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    if hasattr(os, "O_DIRECTORY"):  # the new name must be on the disk before the old one is deleted
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
