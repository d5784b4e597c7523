"""The report: what was left out, how it was made, tables and figures to look closer at, and the front page."""
