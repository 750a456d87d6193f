"""A bundle is measured on labelled examples."""
