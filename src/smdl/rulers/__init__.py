"""Rulers: measures of the complexity of a checkpoint, one module each; the mathematics of codes is in ``codes``."""
