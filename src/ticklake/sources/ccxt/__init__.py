"""Every exchange that ccxt knows."""
