"""The review desk: a Faust app that keeps the cases that wait for a person, and takes decisions on them."""
