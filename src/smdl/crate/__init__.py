"""A study's results as a research object: its files, and the runs that made them, in terms that others' tools read."""
