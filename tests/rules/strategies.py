"""Random rules."""

from __future__ import annotations

from hypothesis import strategies as st

from flowmint.rules.language import (
    And,
    Binary,
    Call,
    Column,
    Compare,
    Exactly,
    Is,
    Multiple,
    Negate,
    Not,
    Number,
    OneOf,
    Or,
    Tolerance,
    When,
)

names = st.sampled_from(["a", "b", "c"])
any_names = st.one_of(
    names, st.text(min_size=1, max_size=8), st.sampled_from(["Tot sum", "when", "sum", "a.b", "`", "é"])
)
numbers = st.one_of(st.integers(-9, 9).map(float), st.floats(allow_nan=False, allow_infinity=False))
small = st.integers(-4, 4).map(float)


def expressions(columns: st.SearchStrategy[str], values: st.SearchStrategy[float]) -> st.SearchStrategy:
    leaves = st.one_of(columns.map(Column), values.map(Number))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(Negate, inner),
            st.builds(Binary, st.sampled_from("+-*/^"), inner, inner),
            st.builds(Call, st.sampled_from(["sum", "min", "max"]), st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Call, st.sampled_from(["abs", "sqrt", "floor", "round"]), st.tuples(inner)),
        ),
        max_leaves=5,
    )


tolerances = st.one_of(
    st.none(), st.builds(Tolerance, st.floats(0, 1e9), st.floats(0, 1)), st.builds(Tolerance, st.floats(0, 1e9))
)


def atoms(columns: st.SearchStrategy[str], values: st.SearchStrategy[float], within=tolerances) -> st.SearchStrategy:
    inner = expressions(columns, values)
    return st.one_of(
        st.builds(Compare, st.sampled_from(["=", "!=", "<=", ">=", "<", ">"]), inner, inner, within),
        st.builds(Multiple, inner, inner, within),
        st.builds(OneOf, inner, st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(Is, inner, st.sampled_from(["finite", "infinite", "missing"])),
    )


def conditions(
    columns: st.SearchStrategy[str], values: st.SearchStrategy[float], within=tolerances
) -> st.SearchStrategy:
    texts = st.builds(OneOf, columns.map(Column), st.lists(st.text(max_size=5), min_size=1, max_size=3).map(tuple))
    leaves = atoms(columns, values, within)
    return st.recursive(
        st.one_of(leaves, texts) if values is numbers else leaves,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(When, inner, inner),
            st.builds(Exactly, inner, inner),
        ),
        max_leaves=5,
    )
