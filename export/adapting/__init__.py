"""Fits heads and thresholds on labelled examples, without torch."""
