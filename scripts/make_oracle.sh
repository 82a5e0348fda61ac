#!/usr/bin/env bash
# Makes an environment with other packages' scores, which tests/evaluate/test_oracle.py compares ours with.
# Usage: scripts/make_oracle.sh FOLDER, then FLOWMINT_ORACLE_PYTHON=FOLDER/bin/python make test
# They stay out of our own environment: sdmetrics wants an older pandas.
set -euo pipefail

folder=${1:?give a folder for the environment}
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet 'prdc==0.2' 'vendi-score==0.0.3' 'sdmetrics==0.32.0'
echo "FLOWMINT_ORACLE_PYTHON=$folder/bin/python"
