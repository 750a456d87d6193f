"""`python -m mimamori …` is the same as `mimamori …`."""

from mimamori.cli import main

main()
