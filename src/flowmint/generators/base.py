"""What every generator can do: fit, sample by class, save and load.

The public methods check what they are given and record what was learnt; a subclass writes
`_fit`, `_sample`, `_state` and `_restore` and deals with polars tables and numbered classes only.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator

from flowmint.diffusion import workers
from flowmint.encode.encoder import Encoder
from flowmint.errors import LabelError, NotFittedError, RuleError, SettingError, TableError
from flowmint.flows.frames import FrameFormat, Native, to_polars, to_series
from flowmint.flows.schema import Classes, Schema
from flowmint.generators.checkpoint import Checkpoint
from flowmint.generators.folder import ModelFolder, read_folder, write_folder
from flowmint.generators.settings import check_setting, check_settings, is_whole
from flowmint.generators.streamed import (
    LEARN_ROWS,
    Census,
    Learnt,
    Reading,
    Streamed,
    refuse_missing,
    refuse_unlearnt,
    unusual,
)
from flowmint.generators.tensors import device_here, find_device
from flowmint.generators.trainer import Trainer
from flowmint.generators.validity import AUTO, GIVEN, Validity
from flowmint.progress import SILENT, Progress, Within
from flowmint.rules.ruleset import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from flowmint.flows.stream import Stream

    Codes = npt.NDArray[np.int64]
    Arrays = Mapping[str, npt.NDArray[Any]]

Missing = Literal["learn", "drop", "error"]

ATTEMPTS = 20
"""How often rows are minted until as many are valid as are wanted: each time as many as are lacking."""

LAST_ATTEMPTS, LAST_ROWS = 5, 256
"""How often more are minted after that, and how many at least: the last few that lack are not left to their luck."""


PART_ROWS = 1 << 18
"""Rows that are minted, repaired and written together: some 80 MB of 39 columns."""


def check_rows(name: str, value: object) -> None:
    """Refuse what is no number of rows.

    Raises:
        SettingError: It is none.
    """
    if not is_whole(value) or int(value) < 1:  # type: ignore[call-overload]
        message = f"{name} is {value!r}; give a whole number, 1 or more"
        raise SettingError(message)


def part_seed(seed: int, number: int) -> int:
    """Give each part its own seed; the first has that of the whole."""
    return seed if number == 0 else int(np.random.default_rng([seed, number, PART_ROWS]).integers(2**31))


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Generator(BaseEstimator, ABC):
    """Learns the rows of each class and mints new ones.

    Attributes:
        seed: Seed of everything random in fitting, and of sampling unless it is given its own.
        missing: What to do with NaN, infinities and empty cells: ``learn`` them as states that
            are minted at the rate of the class, leave rows that have any out of the learning
            (``drop``), or refuse the table (``error``).
        rules: What every minted row satisfies: ``auto`` for the rules of the extractor that the header tells and
            those that the training rows show, ``none``, a rules file, the name of a profile, or `flowmint.Rules`.
        force_rules: Whether rules that are named or given are kept although more real rows break one of them than
            may. Minted rows then satisfy it, real rows stay; ``auto`` leaves such rules out whatever this says.
    """

    name: ClassVar[str]
    """The name that the command line, run files and model folders use."""

    seed: int = 0
    missing: Missing = "learn"
    rules: str | Rules = AUTO
    force_rules: bool = False

    def check(self) -> None:
        """Check the settings.

        Raises:
            SettingError: One is of the wrong type or out of its range.
        """
        optional = {field.name for field in dataclasses.fields(self) if field.default is None}
        check_settings(self.get_params(deep=False), optional=optional)
        given: object = self.rules
        if not isinstance(given, str | Rules):
            message = f"rules is {given!r}; give 'auto', 'none', a rules file, a profile's name, or flowmint.Rules"
            raise SettingError(message)

    def fit(
        self,
        X: Native,
        y: Any,  # noqa: ANN401
        *,
        progress: Progress = SILENT,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Learn the rows of every class.

        Args:
            X: Rows [rows, columns]: a pandas, Polars or Arrow frame.
            y: The class of each row [rows]: a list, array or series of text, integers or booleans.
            progress: Shows how far fitting is.
            checkpoint: A folder in which training is kept now and then. A fit of the same rows, settings, seed and
                versions that was interrupted goes on from there, and learns the same. The folder is removed when the
                fit is whole; one that is given as a `Checkpoint` is left for its owner to remove.

        Returns:
            The generator itself, fitted.

        Raises:
            ModelError: The checkpoint is that of another fit, or damaged.
            SettingError: A setting is out of its range.
            TableError: The table cannot be learnt from, or lengths differ.
            LabelError: A label is missing.
            RuleError: The rules do not fit the table.
        """
        self.check()
        table, labels = to_polars(X), to_series(y, "label")
        if table.height != len(labels):
            message = f"{table.height} rows but {len(labels)} labels; give one label for each row"
            raise TableError(message)
        frame_format = FrameFormat.of(X)
        schema, classes = Schema.infer(table), Classes.of(labels)
        codes = classes.codes(labels)
        kept = self._rows_to_learn(table, codes, classes)
        table, codes = table.filter(pl.Series(kept)), codes[kept]
        names = pl.Series("class", np.array(classes.names, dtype=object)[codes].tolist(), dtype=pl.String)
        validity = Validity.learn(self.rules, table, names, force=self.force_rules, progress=progress)
        self.streamed_: Streamed | None = None
        self._learn(validity, table, codes, schema=schema, classes=classes, progress=progress, checkpoint=checkpoint)
        self.format_ = frame_format
        return self

    def fit_stream(
        self,
        stream: Stream,
        *,
        label: str,
        rows: int = LEARN_ROWS,
        at_least: int = 1,
        progress: Progress = SILENT,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Learn from a table larger than memory, in a few passes over it.

        Values, their shares, classes and rules are counted in all rows, see `flowmint.generators.streamed`. What is
        trained, and oversamplers, learn from rows that are drawn, of rare classes all. Where all rows are drawn, what
        is learnt is what `fit` learns.

        Args:
            stream: The table, see `flowmint.flows.stream.open_stream`.
            label: The label column.
            rows: Rows to draw.
            at_least: How many classes there must be.
            progress: Shows how far fitting is.
            checkpoint: As for `fit`; what is read is read again.

        Returns:
            The generator itself, fitted; ``streamed_`` tells what was counted.

        Raises:
            FlowmintError: As for `fit`; or a file changed or is damaged.
        """
        reading = self.read_stream(stream, label=label, rows=rows, at_least=at_least, progress=progress)
        return self.fit_reading(reading, progress=progress, checkpoint=checkpoint)

    def read_stream(
        self, stream: Stream, *, label: str, rows: int = LEARN_ROWS, at_least: int = 1, progress: Progress = SILENT
    ) -> Reading:
        """Read what `fit_stream` learns from; `fit_reading` learns it, here or elsewhere.

        Arguments and errors are those of `fit_stream`.

        Returns:
            The rows that were drawn, and what all rows say.
        """
        self.check()
        check_rows("rows", rows)
        census = Census.take(stream, label, missing=self.missing, at_least=at_least, progress=progress)
        learnt = Learnt(stream, label, missing=self.missing, census=census)
        drawn = learnt.draw(rows, seed=self.seed, progress=progress)
        validity = learnt.learn_rules(self.rules, drawn, force=self.force_rules, progress=progress)
        encoder, invalid = learnt.measure(validity, drawn.schema, progress=progress)
        streamed = Streamed(
            rows=stream.rows, drawn=drawn.table.height, invalid=invalid, counts=census.learnt, encoder=encoder
        )
        return Reading(classes=census.classes, drawn=drawn, validity=validity, streamed=streamed)

    def fit_reading(
        self, reading: Reading, *, progress: Progress = SILENT, checkpoint: str | Path | Checkpoint | None = None
    ) -> Self:
        """Learn what `read_stream` read.

        Args:
            reading: Its answer, by a generator with the same settings.
            progress: Shows how far fitting is.
            checkpoint: As for `fit`.

        Returns:
            The generator itself, fitted; ``streamed_`` tells what was counted.

        Raises:
            FlowmintError: As for `fit`.
        """
        drawn, self.streamed_ = reading.drawn, reading.streamed
        self._learn(
            reading.validity,
            drawn.table,
            drawn.codes,
            schema=drawn.schema,
            classes=reading.classes,
            progress=progress,
            checkpoint=checkpoint,
        )
        self.format_ = FrameFormat("polars")
        return self

    def _learn(
        self,
        validity: Validity,
        table: pl.DataFrame,
        codes: Codes,
        *,
        schema: Schema,
        classes: Classes,
        progress: Progress,
        checkpoint: str | Path | Checkpoint | None,
    ) -> None:
        """Learn from rows [rows, columns] and record what was learnt."""
        self.validity_ = validity
        keep = Checkpoint(Path(checkpoint)) if isinstance(checkpoint, str | Path) else checkpoint
        about = {"generator": self.name, "settings": self._settings(), "device": self.device_type}
        trainer = Trainer(progress=progress, checkpoint=keep, about=about)
        self._fit(validity.reduce(table), codes, validity.schema(schema), len(classes.values), trainer)
        self.schema_, self.classes_ = schema, classes
        if keep is not None and keep is not checkpoint and workers.number() == 0:
            keep.remove()

    def _fit_encoder(self, table: pl.DataFrame, schema: Schema) -> Encoder:
        """Learn the values of every column, of all rows where the table was drawn from more."""
        return Encoder.fit(table, schema) if self.streamed_ is None else self.streamed_.encoder

    def _true_counts(self, codes: Codes) -> Codes | None:
        """Count the rows of each class [classes] that a table stands for; None where it stands for itself.

        Args:
            codes: The classes of the table's rows [rows].
        """
        if self.streamed_ is None or self.streamed_.counts.sum() == len(codes):
            return None
        return self.streamed_.counts

    def sample(
        self,
        rows: int,
        *,
        label: Any = None,  # noqa: ANN401
        seed: int | None = None,
        repair: bool = True,
        progress: Progress = SILENT,
    ) -> Native:
        """Mint rows of one class.

        Args:
            rows: How many, 0 or more.
            label: Their class; may be left out if there is only one.
            seed: Seed of the draw, the generator's own if absent; the same seed gives the same rows.
            repair: Whether rows that break a rule are repaired, or minted anew where that fails. Without it rows
                are what the generator decodes, derived columns computed: to see what repair does, not to train on.
            progress: Shows how far sampling is.

        Returns:
            Rows [rows, columns]: the kind of frame, the columns, their order and dtypes are those
            of the table that was fitted.

        Raises:
            NotFittedError: `fit` or `load` has not been called.
            LabelError: The class is not one that fitting saw.
            SettingError: ``rows`` is negative.
            RuleError: Even anew, rows of the class could not be made valid.
        """
        minted = self.sample_table(rows, label=label, seed=seed, repair=repair, progress=progress)
        return self.format_.restore(minted)

    def sample_table(
        self,
        rows: int,
        *,
        label: Any = None,  # noqa: ANN401
        seed: int | None = None,
        repair: bool = True,
        progress: Progress = SILENT,
    ) -> pl.DataFrame:
        """Mint rows of one class as a Polars frame, whatever kind of frame was fitted.

        Arguments and errors are those of `sample`.
        """
        self._require_fitted()
        if not is_whole(rows) or rows < 0:
            message = f"rows is {rows!r}; give a whole number, 0 or more"
            raise SettingError(message)
        code = self._code(label)
        if rows == 0:
            return pl.DataFrame(schema={c.name: c.polars_dtype for c in self.schema_.columns})
        seed = self.seed if seed is None else seed
        if not repair:
            return self.validity_.derive(self._sample(int(rows), code, seed, progress), self.schema_)
        return self._sample_valid(int(rows), code, seed, progress)

    def sample_parts(
        self,
        rows: int,
        *,
        label: Any = None,  # noqa: ANN401
        seed: int | None = None,
        part_rows: int = PART_ROWS,
        first: int = 0,
        progress: Progress = SILENT,
    ) -> Iterator[pl.DataFrame]:
        """Mint rows of one class part by part, so that memory does not grow with their number.

        Each part follows from its number and the seed alone: parts that are there already need not be minted again,
        and may be minted elsewhere. Up to ``part_rows`` rows, the one part is what `sample_table` gives.

        Args:
            rows: How many rows in all.
            label: Their class; may be left out if there is only one.
            seed: Seed of the draw, the generator's own if absent.
            part_rows: Rows of each part but the last.
            first: Number of the first part to mint; those before it are left out.
            progress: Shows how far sampling is.

        Yields:
            Parts in order, Polars frames [part_rows, columns].

        Raises:
            SettingError: ``rows`` or ``part_rows`` is no whole number, or out of its range.
        """
        check_rows("part_rows", part_rows)
        sizes = [min(part_rows, rows - start) for start in range(0, rows, part_rows)]
        seed = self.seed if seed is None else seed
        with progress.stage("sampling", total=rows, unit="rows") as stage:
            stage.advance(sum(sizes[:first]))
            for number, size in enumerate(sizes[first:], start=first):
                part = Within(stage, name="sampling", most=size)
                yield self.sample_table(size, label=label, seed=part_seed(seed, number), progress=part)

    def on_device(self, device: str | None) -> Self:
        """Choose where to train and sample, before fitting; `flowmint.load_generator` chooses it for a fitted one.

        Args:
            device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU if there is one; None leaves it as it is.

        Returns:
            The generator itself.

        Raises:
            SettingError: There is no such device, or the generator trains no network.
        """
        if device is None:
            return self
        found = find_device(device)
        if "device" in self.get_params(deep=False):
            self.set_params(device=device)
        elif found.type != "cpu" and device != "auto":
            message = f"{self.name} trains no network and computes on the processor; leave it out (--device, device)"
            raise SettingError(message)
        return self

    @property
    def device_type(self) -> str:
        """What it computes on here: ``cpu`` or ``cuda``."""
        return find_device(self.get_params(deep=False).get("device", "cpu")).type

    def at_quality(self, quality: str | None) -> Self:
        """Choose how much time sampling takes.

        Args:
            quality: ``fast``, ``balanced`` or ``best``; None leaves it as it is.

        Returns:
            The generator itself.

        Raises:
            SettingError: There is no such quality, or the generator mints at one quality only.
        """
        if quality is None:
            return self
        if "quality" not in self.get_params(deep=False):
            message = f"{self.name} mints at one quality only; leave it out (--quality, quality)"
            raise SettingError(message)
        check_setting("quality", quality)
        self.set_params(quality=quality, evaluations=None, solver=None)
        return self

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the fitted generator to a folder: safetensors and JSON, no training data needed to load.

        Args:
            folder: Where to; made if absent.
            overwrite: Whether a model folder that exists may be replaced.

        Raises:
            NotFittedError: There is nothing to save yet.
            WriteError: The folder exists, or cannot be written.
        """
        self._require_fitted()
        arrays, learnt = self._state()
        about = {
            "generator": self.name,
            "settings": self._settings(),
            "schema": self.schema_.to_json(),
            "validity": self.validity_.to_json(),
            "classes": self.classes_.to_json(),
            "format": self.format_.to_json(),
            "learnt": learnt,
        }
        write_folder(folder, about, arrays, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a generator that `save` wrote.

        Args:
            folder: The model folder.

        Returns:
            A fitted generator.

        Raises:
            ModelError: The folder is absent, damaged, of another version or of another generator.
        """
        model = read_folder(folder)
        if model.generator != cls.name:
            message = f"{folder} holds a {model.generator!r} model, not {cls.name!r}; use flowmint.load_generator"
            raise model.error(message)
        return cls.from_folder(model)

    @classmethod
    def from_folder(cls, model: ModelFolder, *, device: str | None = None) -> Self:
        """Rebuild a generator from a folder that was read, on a device or on the one that it was fitted on.

        Where that is absent it is the processor: what was learnt does not depend on where.

        Raises:
            ModelError: The folder is damaged.
            SettingError: There is no such device.
        """
        if device is not None:
            find_device(device)
        with model.guard():
            settings = model.settings(f.name for f in dataclasses.fields(cls))
            if "device" in settings:
                settings = {**settings, "device": device or device_here(settings["device"])}
            generator = cls(**settings)
            generator.check()
            generator.streamed_ = None
            generator.schema_ = Schema.from_json(model.about["schema"])
            generator.classes_ = Classes.from_json(model.about["classes"])
            generator.format_ = FrameFormat.from_json(model.about["format"])
            generator.validity_ = Validity.from_json(model.about["validity"], generator.schema_)
            learnt = generator.validity_.schema(generator.schema_)
            generator._restore(model.arrays, model.about["learnt"], learnt)
        return generator

    def _sample_valid(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        """Mint rows that satisfy every rule; those that could not be made valid are minted anew."""
        parts: list[pl.DataFrame] = []
        lacking, name = rows, self.classes_.names[code]
        for attempt in range(ATTEMPTS + LAST_ATTEMPTS):
            again = seed if attempt == 0 else int(np.random.default_rng([seed, attempt]).integers(2**31))
            wanted = lacking if attempt < ATTEMPTS else max(lacking, LAST_ROWS)
            minted = self._sample(wanted, code, again, progress)
            whole, valid = self.validity_.complete(minted, self.schema_, class_name=name)
            parts.append((whole if valid.all() else whole.filter(pl.Series(valid))).head(lacking))
            lacking -= parts[-1].height
            if not lacking:
                return pl.concat(parts)
        message = (
            f"only {rows - lacking} of {rows} rows of class {name!r} could be made valid in "
            f"{ATTEMPTS + LAST_ATTEMPTS} attempts; fit with other rules, or with none (--rules none, rules='none')"
        )
        raise RuleError(message)

    def _rows_to_learn(self, table: pl.DataFrame, codes: Codes, classes: Classes) -> npt.NDArray[np.bool_]:
        """Apply the missing-value policy: which rows to learn from [rows]."""
        kept = np.ones(table.height, dtype=bool)
        if self.missing == "learn":
            return kept
        marks = unusual(table)
        if self.missing == "error":
            refuse_missing({name: int(bad.sum()) for name, bad in marks.items()})
        for bad in marks.values():
            kept &= ~bad
        refuse_unlearnt(classes, np.bincount(codes[kept], minlength=len(classes.values)))
        return kept

    def _code(self, label: Any) -> int:  # noqa: ANN401
        if label is None:
            if len(self.classes_.values) == 1:
                return 0
            listed = ", ".join(repr(name) for name in self.classes_.names[:8])
            message = f"label is absent but the model knows several classes; give one of them: {listed}"
            raise LabelError(message)
        return self.classes_.code(label)

    def _settings(self) -> dict[str, Any]:
        """Give the settings as JSON."""
        return {**self.get_params(deep=False), "rules": self.rules if isinstance(self.rules, str) else GIVEN}

    def _require_fitted(self) -> None:
        if not hasattr(self, "schema_"):
            message = f"this {type(self).__name__} is not fitted; call fit(X, y) or load(folder) first"
            raise NotFittedError(message)

    @abstractmethod
    def _fit(self, table: pl.DataFrame, codes: Codes, schema: Schema, classes: int, trainer: Trainer) -> None:
        """Learn from rows [rows, columns] and their classes' numbers [rows]; networks are trained by ``trainer``."""

    @abstractmethod
    def _sample(self, rows: int, code: int, seed: int, progress: Progress) -> pl.DataFrame:
        """Mint ``rows`` rows (one or more) of class number ``code``."""

    @abstractmethod
    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """What was learnt: arrays for safetensors, and the rest for JSON."""

    @abstractmethod
    def _restore(self, arrays: Arrays, learnt: Mapping[str, Any], schema: Schema) -> None:
        """Take up what `_state` gave; hostile input raises any of the errors that a guard turns to ModelError.

        ``schema`` has the columns that `_fit` was given.
        """
