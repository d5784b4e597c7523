"""What is asked of a hub, and how its answers are checked before anything is opened."""

SOURCE = "source.txt"
"""Beside downloaded weights: the repository and the commit that they came from."""
