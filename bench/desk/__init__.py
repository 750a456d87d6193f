"""The review desk with many open cases: how fast its pages are, and how long a restart takes."""
