"""The figure of the known answers, from their table."""
