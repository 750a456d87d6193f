"""The three stations that every message passes (intake, screener, outbox), and the rules they follow."""
