"""smdl: how far a language model compresses, and whether its local learning coefficient foretells it."""
