"""Reads texts that are disguised from models: as they are, and as a person would read them."""
