"""`python -m worker …` is `mimamori …`."""

from worker.cli import main

main()
