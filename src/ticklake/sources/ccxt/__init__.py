"""Every exchange that ccxt knows, behind one door."""
