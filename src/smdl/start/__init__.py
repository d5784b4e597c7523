"""The start of a study: what is asked, what a model is seen to be, and the small config that is written for it."""
