"""Scores of texts that were read before: in this process and in Redis, whose only importer this is."""
