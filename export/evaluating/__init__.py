"""Measures a bundle on labelled examples."""
