"""The demo: screens sample conversations on this machine, and starts everything that this needs."""
