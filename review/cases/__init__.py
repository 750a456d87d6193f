"""A review case and what becomes of it: its entries, its life, and the form of a decision. Pure."""
