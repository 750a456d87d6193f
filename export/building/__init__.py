"""A recipe becomes a bundle, filled from the model's own files. No torch."""
