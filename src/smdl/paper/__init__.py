"""A study as a paper: a PDF and LaTeX tables, every number of them read from the study's tables."""
