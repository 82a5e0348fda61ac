"""A random forest of few parts: it tells how likely a row is of each class, and a model folder can hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flowmint.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating[Any]]
    Codes = npt.NDArray[np.int64]
    Likely = npt.NDArray[np.float64]

TREES = 200

BLOCK = 256
"""Rows that are asked together: their places in all trees stay in the processor's cache."""


@dataclass(frozen=True)
class Forest:
    """Trees, all their nodes in one list.

    Attributes:
        roots: The node that each tree begins with [trees].
        columns: The column that a node looks at, -1 for a leaf, int32 [nodes].
        thresholds: Up to which number a row goes left, float32 [nodes].
        left: The node to go to for a number up to the threshold, its own number for a leaf, int32 [nodes].
        right: The node to go to for a larger one, its own number for a leaf, int32 [nodes].
        shares: For each class, its share of what the trees learnt there, float32 [nodes, classes].
    """

    roots: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    thresholds: npt.NDArray[np.float32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, points: Matrix, codes: Codes, *, seed: int) -> tuple[Forest, Likely]:
        """Learn to tell classes apart, every class weighing the same (Breiman 2001).

        Args:
            points: Rows [rows, columns].
            codes: The class of each [rows], every class present.
            seed: Seed of the forest.

        Returns:
            The forest, and how likely each row is of each class [rows, classes] by the trees whose bootstrap sample
            lacked it.
        """
        from sklearn.ensemble import RandomForestClassifier

        learnt = RandomForestClassifier(
            TREES, class_weight="balanced_subsample", oob_score=True, random_state=seed % 2**32
        ).fit(points, codes)
        return cls._of([tree.tree_ for tree in learnt.estimators_]), learnt.oob_decision_function_

    @classmethod
    def _of(cls, trees: list[Any]) -> Forest:
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        left, right = [], []
        for start, tree in zip(starts, trees, strict=False):
            own = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            left.append(start + np.where(leaf, own, tree.children_left))
            right.append(start + np.where(leaf, own, tree.children_right))
        values = np.concatenate([tree.value[:, 0, :] for tree in trees])
        # a number up to the threshold, in double precision, is one up to the next lower number of single precision
        exact = np.concatenate([tree.threshold for tree in trees])
        thresholds = exact.astype(np.float32)
        thresholds = np.where(thresholds > exact, np.nextafter(thresholds, np.float32(-np.inf)), thresholds)
        return cls(
            roots=starts[:-1].astype(np.int32),
            columns=np.concatenate([np.maximum(tree.feature, -1) for tree in trees]).astype(np.int32),
            thresholds=thresholds,
            left=np.concatenate(left).astype(np.int32),
            right=np.concatenate(right).astype(np.int32),
            shares=(values / values.sum(axis=1, keepdims=True)).astype(np.float32),
        )

    def likely(self, points: npt.NDArray[np.float32], code: int) -> Likely:
        """Tell how likely rows are of a class.

        Args:
            points: Rows [rows, columns].
            code: The class.

        Returns:
            Mean share of the class over the trees' leaves [rows].
        """
        shares, leaf = np.ascontiguousarray(self.shares[:, code], dtype=np.float64), self.columns < 0
        columns = np.where(leaf, 0, self.columns)
        found = np.empty(len(points))
        for first in range(0, len(points), BLOCK):
            block = points[first : first + BLOCK]
            rows = np.arange(len(block))[:, None]
            nodes = np.broadcast_to(self.roots, (len(block), len(self.roots)))
            while not leaf[nodes].all():
                low = block[rows, columns[nodes]] <= self.thresholds[nodes]
                nodes = np.where(low, self.left[nodes], self.right[nodes])
            found[first : first + BLOCK] = shares[nodes].mean(axis=1)
        return found

    def to_arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Give the forest as arrays by name."""
        return {f"{prefix}/{name}": array for name, array in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str, *, columns: int, classes: int) -> Forest:
        """Rebuild what `to_arrays` gave.

        Args:
            arrays: Arrays by name.
            prefix: What their names begin with.
            columns: How many columns its rows have.
            classes: How many classes it tells apart.

        Raises:
            ModelError: They are no such forest: a walk through it might leave it, or never end.
        """
        try:
            forest = cls(**{name: arrays[f"{prefix}/{name}"] for name in cls.__annotations__})
        except KeyError as error:
            message = f"{error.args[0]} is missing"
            raise ModelError(message) from error
        if not forest._is_sound(columns, classes):
            message = "its forest is damaged"
            raise ModelError(message)
        return forest

    def _is_sound(self, columns: int, classes: int) -> bool:
        nodes = len(self.thresholds)
        shapes = {"roots": (TREES,), "shares": (nodes, classes)}
        kinds = {"thresholds": np.float32, "shares": np.float32}
        for name, array in vars(self).items():
            if array.dtype != kinds.get(name, np.int32) or array.shape != shapes.get(name, (nodes,)):
                return False
        own, leaf = np.arange(nodes), self.columns < 0
        return bool(
            ((self.roots >= 0) & (self.roots < nodes)).all()
            and (self.columns < columns).all()
            and np.isfinite(self.shares).all()
            and all(((side > own) | (leaf & (side == own))).all() for side in (self.left, self.right))
            and all((side < nodes).all() for side in (self.left, self.right))
        )
