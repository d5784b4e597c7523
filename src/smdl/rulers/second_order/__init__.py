"""Second derivatives of a loss, and what follows from them: spectra, traces, sharpness."""
