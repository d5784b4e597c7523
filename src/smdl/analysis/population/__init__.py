"""Statistics of a population of trained models: which measure foretells how far a model can be compressed.

The unit is the independently trained run. Checkpoints are compared within strata of matched loss; intervals resample
whole runs, or whole base points where pairs of runs are compared.
"""
