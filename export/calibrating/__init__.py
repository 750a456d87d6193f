"""Calibrates a bundle on examples kept apart: a bound to sign, and risks that mean what they say."""
