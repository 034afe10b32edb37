"""What an operator sees: metrics, structured logs, and a watchdog over the event loop."""
