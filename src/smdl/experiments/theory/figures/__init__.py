"""The figures of the theory, each from finished tables."""
