"""The documentation: its pages, and what builds the site (`make docs`)."""
