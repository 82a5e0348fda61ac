"""Lets somebody else's generator learn a table and mint rows; run by the Python of that generator's own environment.

It knows nothing of flowmint. `peers.py` beside it writes the training rows and the wanted rows and calls it:

    python run_peer.py ctgan --rows train.parquet --wanted wanted.json --seconds 250 --seed 60 --out minted.parquet

A peer gets every help that its own documentation asks of a user, all alike (see `Prepared`): no missing or infinite
values, columns of few values named as categorical, values brought back to the decimals and the range of the training
rows. What it learns and how is the package's own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Draw = Callable[[int], pd.DataFrame]

LABEL = "Label"

MOST_CATEGORIES = 10
"""Columns of at most so many values are named as categorical."""

DDPM_SPREAD = 40
"""Columns of at most so many values are spread for TabDDPM: synthcity's quantiles merge some of a dozen values; columns
with 10 or fewer left it takes for codes of categories, and fails where a code is negative."""

RAREST_STATE = 0.001
"""Missing and infinite values that fewer rows have than this share are left out of the learning with their rows."""

MOST_DECIMALS = 4

MOST_DRAWN = 20
"""How many times the wanted rows are drawn at most of a peer that cannot be told which class to mint."""

PART = 4096
"""Rows drawn at a time, at least."""

PILOT = 8

USED = 0.95
"""Share of the budget that epochs are planned for where their number must be known beforehand."""


@dataclass(frozen=True)
class Prepared:
    """A table as any of the peers can learn it.

    Attributes:
        table: Rows with the label: decimals, and text in categorical columns [rows, columns].
        given: The training rows as they came.
        categorical: Columns of few values, the states of `stateful` columns and the label among them.
        stateful: Columns with missing or infinite values, and the column that tells which: as SDV does, a value
            that is none is filled by the median, and its kind is a categorical column of its own.
        constant: Columns of one value, which need no model, and the value.
    """

    table: pd.DataFrame
    given: pd.DataFrame
    categorical: tuple[str, ...]
    stateful: dict[str, str]
    constant: dict[str, Any]

    @classmethod
    def of(cls, given: pd.DataFrame) -> Prepared:
        """Prepare training rows."""
        given = given.reset_index(drop=True)
        features = [name for name in given.columns if name != LABEL]
        kinds = {name: kinds_of(given[name]) for name in features}
        rare = np.zeros(len(given), dtype=bool)
        for kind in kinds.values():
            for value in range(1, 4):
                rare |= (kind == value) & ((kind == value).mean() < RAREST_STATE)
        table, constant, stateful = given[~rare].reset_index(drop=True), {}, {}
        for name in features:
            kind = kinds[name][~rare]
            table[name] = table[name].astype(float).where(kind == 0, table[name][kind == 0].median())
            if kind.any():
                stateful[name] = f"{name}#state"
                table[stateful[name]] = [str(value) for value in kind]
            elif (table[name] == table[name].iloc[0]).all():
                constant[name] = table.pop(name).iloc[0]
        few = [name for name in table.columns if name in features and table[name].nunique() <= MOST_CATEGORIES]
        table[few] = table[few].astype(str)
        return cls(table, given, (*few, *stateful.values(), LABEL), stateful, constant)

    def spread(self, most: int, seed: int) -> Prepared:
        """Spread columns of at most so many rounded values evenly over what rounds to each (uniform dequantisation)."""
        rng, table = np.random.default_rng(seed), self.table.copy()
        for name in self.numeric:
            places = decimals_of(table[name])
            if places is not None and table[name].nunique() <= most:
                table[name] += rng.uniform(-0.4, 0.4, len(table)) * 10.0**-places
        return replace(self, table=table)

    @property
    def numeric(self) -> list[str]:
        """Columns that hold decimals."""
        return [name for name in self.table.columns if name not in self.categorical]

    def restore(self, minted: pd.DataFrame) -> pd.DataFrame:
        """Give minted rows the columns, decimals, range and dtypes of the training rows."""
        columns: dict[str, Any] = {}
        for name in self.given.columns:
            if name in self.constant:
                columns[name] = np.full(len(minted), self.constant[name])
            elif name == LABEL:
                columns[name] = minted[name].astype(str).to_numpy()
            else:
                columns[name] = self._values(name, minted)
        return pd.DataFrame(columns).astype(self.given.dtypes.to_dict())

    def _values(self, name: str, minted: pd.DataFrame) -> np.ndarray[Any, Any]:
        own = self.given[name][kinds_of(self.given[name]) == 0].astype(float)
        values = minted[name].astype(float).to_numpy()
        values = np.clip(np.nan_to_num(values, nan=own.median()), own.min(), own.max())
        places = decimals_of(own)
        values = values if places is None else values.round(places)
        if name in self.stateful:
            kind = minted[self.stateful[name]].astype(int).to_numpy()
            values = np.choose(kind, [values, np.nan, np.inf, -np.inf])
        return np.asarray(values)


def kinds_of(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Tell of each value whether it is a number (0), missing (1), infinite (2) or minus infinite (3)."""
    values = column.astype(float).to_numpy()
    return np.select([np.isnan(values), values == np.inf, values == -np.inf], [1, 2, 3], 0)


def decimals_of(column: pd.Series[Any]) -> int | None:
    """Tell to how many decimals every value is rounded; None if to more than `MOST_DECIMALS`, as SDV does."""
    for places in range(MOST_DECIMALS + 1):
        if np.allclose(column, column.round(places), rtol=0, atol=1e-9):
            return places
    return None


class Budget:
    """Processor seconds that may be spent."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.process_time()
        self.run = 0

    @property
    def left(self) -> float:
        """Processor seconds that are left."""
        return self.seconds - (time.process_time() - self.started)

    def epochs(self, wanted: Iterable[int], **_bar: object) -> Iterator[int]:
        """Give epochs as long as one more is likely to end in time; stands in for a progress bar around them."""
        longest = 0.0
        for epoch in wanted:
            if self.left < longest:
                return
            before = self.left
            yield epoch
            self.run += 1
            longest = max(longest, before - self.left)


@dataclass(frozen=True)
class Learnt:
    """A peer that has learnt.

    Attributes:
        mint: Draws rows; called with how many rows of each class are still wanted, and draws any number of any class.
        settings: What it was told, beyond the package's defaults, and how far it came.
        fit: Seconds and processor seconds of learning, without what it took to plan it.
    """

    mint: Callable[[dict[str, int]], pd.DataFrame]
    settings: dict[str, Any]
    fit: dict[str, float]


def jointly(draw: Draw) -> Callable[[dict[str, int]], pd.DataFrame]:
    """Mint with a peer that draws classes at the rate of the training rows."""
    return lambda lacking: draw(max(sum(lacking.values()), PART))


def learn_ctgan(data: Prepared, seconds: float, seed: int) -> Learnt:
    """CTGAN (Xu et al. 2019) by its authors: every setting is the package's, epochs as many as the budget allows."""
    from ctgan import CTGAN
    from ctgan.synthesizers import ctgan as package

    budget = Budget(seconds)
    package.tqdm = budget.epochs
    model = CTGAN(epochs=10_000, enable_gpu=False)
    model.set_random_state(seed)
    since = now()
    model.fit(data.table, discrete_columns=list(data.categorical))
    fit = spent(since)

    def mint(lacking: dict[str, int]) -> pd.DataFrame:
        parts: list[pd.DataFrame] = [
            model.sample(max(rows, 500), condition_column=LABEL, condition_value=name) for name, rows in lacking.items()
        ]
        return pd.concat(parts)

    return Learnt(mint, {"epochs": budget.run}, fit)


def learn_tvae(data: Prepared, seconds: float, seed: int) -> Learnt:
    """TVAE (Xu et al. 2019) by its authors: every setting is the package's, epochs as many as the budget allows."""
    from ctgan import TVAE
    from ctgan.synthesizers import tvae as package

    budget = Budget(seconds)
    package.tqdm = budget.epochs
    model = TVAE(epochs=10_000, enable_gpu=False)
    model.set_random_state(seed)
    since = now()
    model.fit(data.table, discrete_columns=list(data.categorical))
    return Learnt(jointly(model.sample), {"epochs": budget.run}, spent(since))


def time_epochs(fit: Callable[[pd.DataFrame, tuple[int, ...]], object], data: Prepared, phases: int) -> list[float]:
    """Measure the processor seconds of what is fixed and of an epoch of each phase, on one row in `PILOT`."""
    pilot = data.table.iloc[::PILOT].reset_index(drop=True)

    def spend(*epochs: int) -> float:
        before = time.process_time()
        fit(pilot, epochs)
        return time.process_time() - before

    once = (1,) * phases
    spend(*once)  # what is loaded at first is left out
    base = spend(*once)
    each = [max(spend(*once[:p], 3, *once[p + 1 :]) - base, 1e-3) / 2 for p in range(phases)]
    return [seconds * PILOT for seconds in (max(base - sum(each), 0.0), *each)]


def learn_tabddpm(data: Prepared, seconds: float, seed: int) -> Learnt:
    """TabDDPM (Kotelnikov et al. 2023) as synthcity has it from the authors' code, conditional on the label.

    Every setting is the package's (batches of 1,024 rows, 3 layers of 256, 1,000 steps of noise). The learning rate
    falls to 0 over the epochs, so their number is planned beforehand.
    """
    from synthcity.plugins import Plugins
    from synthcity.plugins.core.dataloader import GenericDataLoader

    plugins, data = Plugins(categories=["generic"]), data.spread(DDPM_SPREAD, seed)

    def fit(table: pd.DataFrame, epochs: tuple[int, ...]) -> Any:  # noqa: ANN401 - the peer's own class
        model = plugins.get("ddpm", n_iter=epochs[0], is_classification=True, random_state=seed, strict=False)
        return model.fit(GenericDataLoader(table, target_column=LABEL))

    fixed, each = time_epochs(fit, data, 1)
    epochs = max(int((seconds * USED - fixed) / each), 1)
    since = now()
    model = fit(data.table, (epochs,))
    took = spent(since)
    labels = sorted(data.table[LABEL].unique())  # the order in which the package numbers them
    draws = iter(range(seed, seed + 10_000))

    def mint(lacking: dict[str, int]) -> pd.DataFrame:
        codes = np.repeat(range(len(labels)), [lacking.get(name, 0) for name in labels])
        minted: pd.DataFrame = model.generate(len(codes), cond=codes, random_state=next(draws)).dataframe()
        return minted

    return Learnt(mint, {"is_classification": True, "n_iter": epochs}, took)


def learn_tabsyn(data: Prepared, seconds: float, seed: int) -> Learnt:
    """TabSyn (Zhang et al. 2024) as synthyverse has it from the authors' code.

    The published sizes (batches of 4,096, a denoiser of width 2,048) are for tens of thousands of steps on a GPU;
    in the budget of one processor they would see some ten steps. So batches are of 512 rows and the denoiser's width
    is 512, which makes hundreds; each of the two phases gets half of the time.
    """
    from synthyverse.generators import TabSynGenerator

    settings = {"batch_size": 512, "embedding_dim": 256, "mlp_dim": 512, "val_steps": 0}

    def fit(table: pd.DataFrame, epochs: tuple[int, ...]) -> Any:  # noqa: ANN401 - the peer's own class
        model = TabSynGenerator(
            target_column=LABEL, vae_num_epochs=epochs[0], epochs=epochs[1], random_state=seed, **settings
        )
        return model.fit(table, discrete_features=list(data.categorical))

    fixed, *each = time_epochs(fit, data, 2)
    half = (seconds * USED - fixed) / 2
    epochs = (max(int(half / each[0]), 1), max(int(half / each[1]), 1))
    since = now()
    model = fit(data.table, epochs)
    took = spent(since)
    draws = iter(range(seed, seed + 10_000))
    told = {**settings, "vae_num_epochs": epochs[0], "epochs": epochs[1]}
    return Learnt(jointly(lambda rows: model.generate(rows, random_state=next(draws))), told, took)


def learn_forest(data: Prepared, seconds: float, seed: int) -> Learnt:
    """ForestDiffusion (Jolicoeur-Martineau et al. 2024) by its authors: flow matching, trees of each class and time.

    Its own settings (50 times, 100 trees of depth 7 for each of 39 columns, every row with 100 noises) would take days
    of one processor here. So every row has one noise, trees are of depth 5 on 64 bins, and times and trees as many as
    the budget allows.
    """
    from ForestDiffusion import ForestDiffusionModel

    columns = [name for name in data.table.columns if name != LABEL]
    codes: dict[str, Any] = {name: pd.factorize(data.table[name], sort=True) for name in data.categorical}
    rows = np.column_stack([codes[n][0] if n in codes else data.table[n].to_numpy() for n in columns]).astype(float)
    labels = codes[LABEL][1]
    values = {name: data.table[name].nunique() for name in columns}
    settings: dict[str, Any] = {
        "duplicate_K": 1,
        "n_batch": 0,
        "max_depth": 5,
        "max_bin": 64,
        "cat_indexes": [i for i, name in enumerate(columns) if name in codes and values[name] > 2],
        "bin_indexes": [i for i, name in enumerate(columns) if name in codes and values[name] <= 2],
        "n_jobs": 1,
        "nthread": 1,
        "seed": seed,
    }

    def fit(times: int, trees: int) -> Any:  # noqa: ANN401 - the peer's own class
        own = settings | {"n_t": times, "n_estimators": trees}
        return ForestDiffusionModel(rows, label_y=codes[LABEL][0], **own)

    times, trees = plan_forest(fit, seconds * USED)
    since = now()
    model = fit(times, trees)
    took = spent(since)

    def mint(lacking: dict[str, int]) -> pd.DataFrame:
        wanted = np.array([lacking.get(str(name), 0) for name in labels], dtype=float)
        model.y_probs = wanted / wanted.sum()
        count = int(wanted.sum())
        minted = pd.DataFrame(model.generate(batch_size=count + count // 20 + 20), columns=[*columns, LABEL])
        for name in data.categorical:
            minted[name] = codes[name][1].to_numpy()[minted[name].round().astype(int)]
        return minted

    told = {name: value for name, value in settings.items() if not name.endswith("indexes")}
    return Learnt(mint, told | {"n_t": times, "n_estimators": trees}, took)


def plan_forest(fit: Callable[[int, int], object], seconds: float) -> tuple[int, int]:
    """Choose how many times and trees fit into the budget: its own 50 and 100 if they do, else fewer of both."""
    before = time.process_time()
    fit(1, 5)
    small = time.process_time() - before
    fit(1, 15)
    each = max((time.process_time() - before - 2 * small) / 10, 1e-4)  # processor seconds of a tree at one time
    fixed = max(small - 5 * each, 0.0)
    for times in (50, 40, 30, 20, 15, 10):
        trees = int((seconds / times - fixed) / each)
        if trees >= times:
            break
    return times, min(max(trees, 1), 100)


PEERS: dict[str, tuple[Callable[[Prepared, float, int], Learnt], tuple[str, ...]]] = {
    "ctgan": (learn_ctgan, ("ctgan", "torch")),
    "tvae": (learn_tvae, ("ctgan", "torch")),
    "forest_diffusion": (learn_forest, ("ForestDiffusion", "xgboost")),
    "tabddpm": (learn_tabddpm, ("synthcity", "torch")),
    "tabsyn": (learn_tabsyn, ("synthyverse", "torch")),
}
"""How each peer learns, and the packages whose versions are told."""


def draw_rows(learnt: Learnt, data: Prepared, wanted: dict[str, int], seconds: float) -> tuple[pd.DataFrame, int]:
    """Draw until there are as many rows of each class as wanted, or time or patience ends; tell how many were drawn."""
    budget, parts, drawn, lacking = Budget(seconds), [], 0, dict(wanted)
    while lacking and drawn < MOST_DRAWN * sum(wanted.values()) and (not drawn or budget.left > 0):
        minted = data.restore(learnt.mint(lacking).reset_index(drop=True))
        drawn += len(minted)
        for name, rows in list(lacking.items()):
            part = minted[minted[LABEL] == name].head(rows)
            parts.append(part)
            lacking[name] -= len(part)
        lacking = {name: rows for name, rows in lacking.items() if rows}
    return pd.concat(parts, ignore_index=True), drawn


def seed_everything(seed: int) -> None:
    """Seed what the peers draw from without asking: the global generators."""
    np.random.seed(seed)  # noqa: NPY002 - this is what they use
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
        sys.modules["torch"].set_num_threads(1)


def now() -> tuple[float, float]:
    """Give the clock and the processor's clock, in seconds."""
    return time.perf_counter(), time.process_time()


def spent(since: tuple[float, float]) -> dict[str, float]:
    """Give seconds and processor seconds since a moment."""
    return {"seconds": time.perf_counter() - since[0], "processor_seconds": time.process_time() - since[1]}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--rows", type=Path, required=True, help=f"training rows, Parquet, with a column {LABEL}")
    parser.add_argument("--wanted", type=Path, required=True, help="JSON: how many rows of each class to mint")
    parser.add_argument("--seconds", type=float, required=True, help="processor seconds that fitting may take")
    parser.add_argument("--minting-seconds", type=float, default=600, help="the same for minting; whole draws end")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="minted rows, Parquet; beside it, what was done, JSON")
    return parser.parse_args()


def main() -> None:
    """Learn, mint, write."""
    args = parse()
    learn, packages = PEERS[args.peer]
    data = Prepared.of(pd.read_parquet(args.rows))
    wanted = json.loads(args.wanted.read_text(encoding="utf-8"))
    if packages[-1] == "torch":
        __import__("torch")
    seed_everything(args.seed)
    learnt = learn(data, args.seconds, args.seed)
    since = now()
    minted, drawn = draw_rows(learnt, data, wanted, args.minting_seconds)
    mint = spent(since)
    minted.to_parquet(args.out, index=False)
    about = {
        "versions": {"python": python_version()} | {name: version(name) for name in packages},
        "settings": learnt.settings,
        "rows_learnt": len(data.table),
        "rows_minted": len(minted),
        "rows_drawn": drawn,
        "fit": learnt.fit,
        "mint": mint,
        "rows_per_second": len(minted) / mint["processor_seconds"],
    }
    args.out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
