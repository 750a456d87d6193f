"""Caches the scores of texts, in this process and in Redis. Only this package imports redis."""
