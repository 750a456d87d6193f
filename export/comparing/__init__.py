"""Sets two ways of screening the same messages against each other: counts, tests, conclusions."""
