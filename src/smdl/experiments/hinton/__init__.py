"""The experiment of Hinton and van Camp (1993), on synthetic data of the same shape."""
