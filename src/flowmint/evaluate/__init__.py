"""Evaluation: what minted rows are worth, measured on real rows that nothing was fitted on."""
