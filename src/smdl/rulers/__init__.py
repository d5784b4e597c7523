"""Coding lengths of trained weights: priors, entropy codes, two-part totals, bits back and complexity proxies."""
