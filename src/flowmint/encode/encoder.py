"""The encoder: a flow table to a tensor of standard normal columns, and exactly back.

Each column goes through the randomised probability integral transform: a value that owns the
interval ``[a, b)`` of the unit line becomes ``z = Φ⁻¹(u)`` with ``u`` drawn uniformly from it, so
that spikes, zero inflation, heavy tails, integers, categories and missing values all turn into the
same standard normal shape. Decoding looks up which value owns ``Φ(z)``. Constant columns carry
nothing and take no place in the tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.special import ndtr, ndtri

from flowmint.encode.support import Support
from flowmint.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from flowmint.flows.schema import Schema

    Tensor = npt.NDArray[np.float32]
    Weights = npt.NDArray[np.float64]

INNER_SHARE = 0.96
"""Share of a value's interval that encoding uses, so that rounding to float32 stays inside."""


@dataclass(frozen=True)
class Encoder:
    """Table ↔ tensor [rows, modelled columns], invertible on every value that fitting saw.

    Attributes:
        schema: The columns of the table.
        supports: The support of each column, in the table's order.
    """

    schema: Schema
    supports: tuple[Support, ...]

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: Schema, *, weights: Weights | None = None) -> Encoder:
        """Learn the values of every column.

        Args:
            table: Rows to learn from [rows, columns].
            schema: Its columns.
            weights: Weight of each row [rows]; equal when absent. Rows with larger weights get
                wider intervals and so more resolution.

        Returns:
            The fitted encoder.
        """
        shares = np.ones(table.height) if weights is None else weights
        supports = tuple(Support.fit(column, table[column.name], shares) for column in schema.columns)
        return cls(schema=schema, supports=supports)

    @property
    def modelled(self) -> tuple[Support, ...]:
        """The supports of the columns that vary, in the order of the tensor's columns."""
        return tuple(support for support in self.supports if support.states > 1)

    @property
    def named(self) -> bool:
        """Whether a column that varies has names: more than two categories."""
        return any(support.is_categorical and support.states > 2 for support in self.modelled)

    def encode(self, table: pl.DataFrame, *, seed: int | None) -> Tensor:
        """Turn rows into standard normal columns.

        Args:
            table: Rows with the schema's columns.
            seed: Seed of the draws inside each value's interval; None for its middle.

        Returns:
            float32 [rows, modelled columns].

        Raises:
            TableError: The table's columns are not the schema's, or a category is unknown.
        """
        self.schema.check(table)
        rng = np.random.default_rng(seed)
        tensor = np.empty((table.height, len(self.modelled)), dtype=np.float32)
        for index, support in enumerate(self.modelled):
            codes = support.codes(table[support.column.name])
            low, high = support.edges[codes], support.edges[codes + 1]
            inside = 0.5 if seed is None else 0.5 + INNER_SHARE * (rng.random(table.height) - 0.5)
            tensor[:, index] = ndtri(low + (high - low) * inside)
        return tensor

    def states(self, table: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Number the states of every column.

        Args:
            table: Rows with the schema's columns.

        Returns:
            int64 [rows, columns], constant columns included.
        """
        self.schema.check(table)
        return np.column_stack([s.codes(table[s.column.name]) for s in self.supports])

    def decode(self, tensor: npt.NDArray[np.floating]) -> pl.DataFrame:
        """Turn a tensor into rows; the inverse of `encode`.

        Args:
            tensor: Standard normal columns [rows, modelled columns].

        Returns:
            A table with the schema's columns, order and dtypes.
        """
        return self.decode_uniform(ndtr(tensor.astype(np.float64)))

    def decode_uniform(self, uniform: npt.NDArray[np.float64]) -> pl.DataFrame:
        """Turn points of the unit line into the values that own them.

        Args:
            uniform: Points in [0, 1] [rows, modelled columns].

        Returns:
            A table with the schema's columns, order and dtypes.
        """
        columns, index = [], 0
        for support in self.supports:
            codes = np.zeros(len(uniform), dtype=np.int64)
            if support.states > 1:
                codes = np.searchsorted(support.edges, uniform[:, index], side="right") - 1
                codes = np.clip(codes, 0, support.states - 1)
                index += 1
            columns.append(support.take(codes))
        return pl.DataFrame(columns)

    def to_state(self) -> tuple[dict[str, npt.NDArray[Any]], list[dict[str, Any]]]:
        """Give what was learnt: arrays by name, and what JSON can hold of each column."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        columns: list[dict[str, Any]] = []
        for index, support in enumerate(self.supports):
            arrays[f"encoder/{index}/edges"] = support.edges
            if not support.is_categorical:
                arrays[f"encoder/{index}/values"] = support.values
            categories = support.values.tolist() if support.is_categorical else None
            columns.append({"has_empty": support.has_empty, "categories": categories})
        return arrays, columns

    @classmethod
    def from_state(cls, schema: Schema, arrays: Mapping[str, npt.NDArray[Any]], columns: Any) -> Encoder:  # noqa: ANN401
        """Rebuild an encoder from `to_state`'s answer.

        Raises:
            ModelError: They are not such an answer.
        """
        if not isinstance(columns, list) or len(columns) != len(schema.columns):
            message = "what was learnt does not fit the model's columns"
            raise ModelError(message)
        supports = []
        for index, (column, learnt) in enumerate(zip(schema.columns, columns, strict=True)):
            names = learnt["categories"]
            edges = arrays[f"encoder/{index}/edges"]
            values = arrays[f"encoder/{index}/values"] if names is None else np.array(names, dtype=object)
            supports.append(Support.restore(column, values, edges, has_empty=learnt["has_empty"]))
        return cls(schema=schema, supports=tuple(supports))
