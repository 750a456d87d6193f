"""`python -m worker …` is `mimamori …`."""

from mimamori.cli import main

main()
