"""datagen makes training data with a model, checks it, trains on it and shows what came out."""

__version__ = "0.1.0"
