"""Turns texts into scores: cuts them into rows of tokens, runs the rows in batches, computes scores."""
