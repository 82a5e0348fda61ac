#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment, and uses it there as its users would.
# Usage: scripts/check_wheel.sh PYTHON, where PYTHON has build and hatchling.
set -euo pipefail

python=$(realpath --no-symlinks "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --no-isolation --outdir "$work/dist" "$root" >"$work/build.log" || { cat "$work/build.log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --disable-pip-version-check --quiet -c "$root/constraints.txt" "$work"/dist/*.whl
"$work/venv/bin/python" -m pip check

cd "$work"
export PATH="$work/venv/bin:$PATH"
flowmint --version
flowmint --help >/dev/null
python - <<'PYTHON'
from importlib.resources import files

import flowmint

assert files("flowmint").joinpath("py.typed").is_file(), "py.typed is not in the wheel"
for name in flowmint.__all__:
    getattr(flowmint, name)
flowmint.write_table(flowmint.simulate({"Benign": 200, "MITM-ArpSpoofing": 20}, seed=0), "train.csv")
PYTHON
flowmint inspect train.csv --label Label --quiet >/dev/null
flowmint balance train.csv --label Label --out balanced.parquet --generator smote --origin origin
python - <<'PYTHON'
import flowmint

balanced = flowmint.read_table("balanced.parquet")
assert balanced["Label"].value_counts()["count"].to_list() == [200, 200], balanced["Label"].value_counts()
PYTHON
flowmint evaluate --real train.csv --minted balanced.parquet --origin origin --label Label \
  --families distribution --report report.html --quiet
grep -q "</html>" report.html  # the templates are in the wheel
echo "The wheel works in a fresh environment."
