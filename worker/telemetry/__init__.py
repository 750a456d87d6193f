"""What the worker says of itself: metrics, health, logs. Never a text."""
