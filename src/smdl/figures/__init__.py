"""Figures: one module a figure, each a function from tables to a matplotlib figure."""
