"""Codes of weights and their lengths: priors, entropy codes, two-part totals, noisy weights."""
