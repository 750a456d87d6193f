"""In which order people see the cases that wait, and which of them. Pure."""
