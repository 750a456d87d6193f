"""Builds a bundle from a recipe and the model's own files, without torch."""
