"""Texts written so that a model misreads them: read as they are and as a person reads them."""
