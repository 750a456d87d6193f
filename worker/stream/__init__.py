"""A message's way: intake, screener, outbox, and what each of them goes by."""
