"""The review desk: a Faust app that keeps the cases waiting for a person, and takes their decisions."""
