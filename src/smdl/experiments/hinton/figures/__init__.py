"""The figures of the 1993 experiment, each from finished tables."""
