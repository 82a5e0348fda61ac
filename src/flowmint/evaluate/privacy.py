"""Privacy: whether minted rows give away which rows were trained on.

Flow rows repeat by nature, so that no distance alone tells copying from likeness: every score asks
whether minted rows are nearer to the training rows than to real rows that nothing was trained on.
The held-out rows are cut into parts for that, and one of them takes the place of the minted rows in
the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from flowmint.errors import ScoreError
from flowmint.evaluate.neighbours import kth_distances, nearest_others
from flowmint.evaluate.scores import Definition, need_rows
from flowmint.evaluate.tables import matched_counts, scale_counts

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.evaluate.embed import Embedding
    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Rows

    Matrix = npt.NDArray[np.float64]

MOST_ROWS = 4_000
"""Rows of each table whose neighbours are looked for."""

MOST_OTHERS = 10_000
"""Rows of each table among which they are looked for: what was copied is only found among many."""

LEAST_ROWS = 10
QUANTILE = 0.05
TRIED = (1, 5)
"""Neighbours by which the attacker tells densities."""


CLOSER = Definition(
    name="closer_to_training",
    title="Closer to training rows",
    family="privacy",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of minted rows nearer to a training row than to any of as many held-out rows; 0.5 is safe.",
    source="distance to closest record with a held-out reference (Platzer and Reutterer 2021); ties count half",
)
DCR_RATIO = Definition(
    name="closest_record_ratio",
    title="Distance to closest record, ratio",
    family="privacy",
    lowest=0.0,
    highest=np.inf,
    better="reference",
    description="5 % quantile of minted rows' distances to training rows, by that of held-out rows; below 1 is near.",
    source="distance to closest record, 5 % quantile",
)
NNDR = Definition(
    name="nearest_neighbour_distance_ratio",
    title="Nearest-neighbour distance ratio",
    family="privacy",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Mean of the distance to the nearest training row by that to the second; near 0 singles rows out.",
    source="nearest neighbour distance ratio (Lowe 2004; Zhao et al. 2021)",
)
MEMBERSHIP = Definition(
    name="membership_inference",
    title="Membership inference AUC",
    family="privacy",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="How well training rows are told from held-out ones by the minted rows around them; 0.5 is not at all.",
    source="DOMIAS (van Breugel et al. 2023), nearest-neighbour densities; ROC-AUC, the better of k = 1 and 5",
)

DEFINITIONS = (CLOSER, DCR_RATIO, NNDR, MEMBERSHIP)


def closer_to_training(minted: Matrix, train: Matrix, held: Matrix) -> float:
    """Share of rows nearer to a training row than to any held-out row.

    Args:
        minted: Minted rows as points [n, dimensions].
        train: Training rows as points [m, dimensions].
        held: As many held-out rows as points [m, dimensions].

    Returns:
        The share from 0 to 1; rows as near to both count half.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(len(minted), len(train), len(held)), LEAST_ROWS)
    to_train, to_held = nearest_others(minted, train)[1], nearest_others(minted, held)[1]
    return float((to_train < to_held).mean() + (to_train == to_held).mean() / 2)


def closest_record_ratio(minted: Matrix, train: Matrix, held: Matrix) -> float:
    """Compare how near the nearest minted rows come to training rows with how near held-out rows come.

    Args:
        minted: Minted rows as points [n, dimensions].
        train: Training rows as points [m, dimensions].
        held: Held-out rows as points [k, dimensions].

    Returns:
        Ratio of the 5 % quantiles of distances to the closest training row.

    Raises:
        ScoreError: There are too few rows, or real rows repeat so much that the quantile is 0.
    """
    need_rows(min(len(minted), len(train), len(held)), LEAST_ROWS)
    own = float(np.quantile(nearest_others(held, train)[1], QUANTILE))
    if own == 0:
        message = f"{QUANTILE:.0%} of the held-out rows or more equal training rows, so there is no distance to compare"
        raise ScoreError(message)
    return float(np.quantile(nearest_others(minted, train)[1], QUANTILE)) / own


def nearest_neighbour_distance_ratio(minted: Matrix, train: Matrix) -> float:
    """Compare the nearest training row with the second nearest.

    Args:
        minted: Minted rows as points [n, dimensions].
        train: Training rows as points [m, dimensions].

    Returns:
        Mean ratio of the distances from 0 to 1; 1 where both are 0.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(len(minted), len(train)), LEAST_ROWS)
    first, second = kth_distances(minted, train, 2).T
    return float(np.where(second > 0, first / np.where(second > 0, second, 1.0), 1.0).mean())


def membership_inference(minted: Matrix, members: Matrix, others: Matrix, reference: Matrix) -> float:
    """Attack: a row around which minted rows are denser than real rows at large was trained on.

    DOMIAS scores a row by p_minted(x) / p_real(x); here both densities are of the nearest-neighbour
    kind, which in d dimensions makes the score d · log(distance to the k-th reference row / distance
    to the k-th minted row), up to a constant that no ROC curve sees. The attacker tries k = 1 and 5.

    Args:
        minted: Minted rows as points [n, dimensions].
        members: Training rows as points [m, dimensions].
        others: Real rows that were not trained on as points [k, dimensions].
        reference: Other real rows, from which the attacker learns what is usual [r, dimensions].

    Returns:
        ROC-AUC with training rows as what is looked for.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(len(minted), len(members), len(others), len(reference)), LEAST_ROWS)
    is_member = np.arange(len(members) + len(others)) < len(members)
    targets = np.concatenate([members, others])
    near, usual = (kth_distances(targets, points, max(TRIED)) for points in (minted, reference))
    ratios = np.log(usual + 1e-9) - np.log(near + 1e-9)
    return max(float(roc_auc_score(is_member, ratios[:, k - 1])) for k in TRIED)


@dataclass(frozen=True)
class _Parts:
    """Points that the scores of privacy compare; the held-out rows are cut into three parts.

    Attributes:
        known: Training rows [m, dimensions].
        others: As many held-out rows of each class, which were not trained on [m, dimensions].
        every: Minted rows, as many as an attacker would use [l, dimensions].
        minted: Fewer minted rows [n, dimensions].
        fresh: As many held-out rows of each class, in the place of the minted ones [n, dimensions].
        usual: As many more, which stand for real rows at large [n, dimensions].
    """

    known: Matrix
    others: Matrix
    every: Matrix
    minted: Matrix
    fresh: Matrix
    usual: Matrix

    @classmethod
    def of(cls, embedding: Embedding, *, real: Rows, minted: Rows, train: Rows, most: int, seed: int) -> _Parts:
        rng = np.random.default_rng(seed)
        few = scale_counts(matched_counts([real, train], parts_of_first=3), MOST_OTHERS)
        many = scale_counts(matched_counts([real, minted], parts_of_first=3), most)
        thirds = {name: count // 3 for name, count in real.counts().items()}
        held = real.draw({name: 3 * third for name, third in thirds.items()}, rng)
        place = embedding.transform
        others, fresh, usual = (
            [held[name][part * thirds[name] :][:count] for name, count in counts.items()]
            for part, counts in enumerate((few, many, many))
        )
        return cls(
            known=place(train.mixed(train.draw(few, rng).values(), rng)),
            others=place(real.mixed(others, rng)),
            every=place(minted.table[rng.permutation(minted.table.height)[:MOST_OTHERS]]),
            minted=place(minted.mixed(minted.draw(many, rng).values(), rng)),
            fresh=place(real.mixed(fresh, rng)),
            usual=place(real.mixed(usual, rng)),
        )


def privacy_scores(
    embedding: Embedding,
    *,
    real: Rows,
    minted: Rows,
    train: Rows | None,
    seed: int,
    most: int = MOST_ROWS,
) -> tuple[Score, ...]:
    """Compute every score of the family.

    Args:
        embedding: Places rows.
        real: Real held-out rows.
        minted: Minted rows.
        train: Real training rows; None if there are none.
        seed: Seed of what is drawn.
        most: Rows of each table to look at.

    Returns:
        The scores.
    """
    if train is None:
        return tuple(d.absent("there are no training rows to compare with; give them") for d in DEFINITIONS)
    reason = _too_few(real=real, minted=minted, train=train)
    if reason:
        return tuple(definition.absent(reason) for definition in DEFINITIONS)
    most = min(most, MOST_ROWS)
    parts = _Parts.of(embedding, real=real, minted=minted, train=train, most=most, seed=seed)
    functions = (
        partial(closer_to_training, train=parts.known, held=parts.others),
        partial(closest_record_ratio, train=parts.known, held=parts.usual),
        partial(nearest_neighbour_distance_ratio, train=parts.known),
    )
    attack = partial(
        membership_inference, members=parts.known[:most], others=parts.others[:most], reference=parts.usual
    )
    return (
        *(
            definition.measure(partial(function, parts.minted), partial(function, parts.fresh))
            for definition, function in zip(DEFINITIONS, functions, strict=False)
        ),
        MEMBERSHIP.measure(partial(attack, parts.every), partial(attack, parts.fresh)),
    )


def _too_few(*, real: Rows, minted: Rows, train: Rows) -> str:
    for name, rows in (("training", train), ("minted", minted)):
        count = sum(matched_counts([real, rows], parts_of_first=3).values())
        if count < LEAST_ROWS:
            return (
                f"there are {rows.table.height} {name} rows and {real.table.height} held-out ones, which are cut "
                f"into three parts; at least {LEAST_ROWS} of each part are needed"
            )
    return ""
