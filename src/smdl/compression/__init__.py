"""Compression schemes, the losses they cost, and their critical levels. A scheme is one module of this package."""
