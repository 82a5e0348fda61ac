"""Other packages' scores; run by the Python of an environment of its own, which lacks flowmint.

python oracle.py NAME IN.npz OUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def neighbours(arrays):
    """Precision, recall, density and coverage by the authors of density and coverage."""
    from prdc import compute_prdc

    found = compute_prdc(arrays["real"], arrays["minted"], nearest_k=5)
    return {name: float(value) for name, value in found.items()}


def vendi(arrays):
    """The Vendi score by its authors, of a kernel matrix."""
    from vendi_score import vendi as package

    return {"vendi": float(package.score_K(arrays["kernel"]))}


def columns(arrays):
    """Scores of columns and pairs by sdmetrics."""
    import pandas as pd
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
    from sdmetrics.single_column import KSComplement, TVComplement

    real, minted = (pd.DataFrame(arrays[name], columns=["a", "b"]) for name in ("real", "minted"))
    texts = [pd.DataFrame(arrays[name].astype(str), columns=["c", "d"]) for name in ("real_codes", "minted_codes")]
    found = {
        "ks": KSComplement.compute(real["a"], minted["a"]),
        "tv": TVComplement.compute(texts[0]["c"], texts[1]["c"]),
    }
    for coefficient in ("Pearson", "Spearman"):
        found[coefficient] = CorrelationSimilarity.compute(real, minted, coefficient=coefficient)
    found["contingency"] = ContingencySimilarity.compute(*texts)
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    name, source, out = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        told = {"neighbours": neighbours, "vendi": vendi, "columns": columns}[name](dict(file))
    Path(out).write_text(json.dumps(told), encoding="utf-8")
