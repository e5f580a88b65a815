"""What data and models are worth, in numbers: one measure a module."""
