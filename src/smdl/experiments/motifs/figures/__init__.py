"""The figures of the experiment on Mosaic-of-Motifs, each from finished tables."""
