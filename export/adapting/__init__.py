"""Labelled examples become heads and thresholds. No torch."""
