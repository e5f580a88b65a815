"""Generators: each makes rows with a model and reads from top to bottom like its paper."""
