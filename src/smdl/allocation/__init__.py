"""How many bits each matrix of a model gets: scores, one solver for all of them, and what becomes of the model."""
