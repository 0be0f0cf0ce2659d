"""What exchanges send, read by pure functions: from messages and answers to rows, for recordings and for live data."""
