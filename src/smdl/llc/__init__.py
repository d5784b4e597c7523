"""The local learning coefficient: chains of the localised posterior, their diagnostics, the estimate."""
