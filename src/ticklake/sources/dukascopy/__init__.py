"""Forex ticks from Dukascopy's public feed of hourly files."""
