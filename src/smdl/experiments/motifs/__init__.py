"""The experiment on Mosaic-of-Motifs: is a trained network algorithmically simpler, and at what cost?"""
