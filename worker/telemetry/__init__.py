"""What the worker reports about itself: metrics, health and logs. They never hold message text."""
