"""Losses whose learning coefficient is known in closed form, and what the sampler makes of them."""
