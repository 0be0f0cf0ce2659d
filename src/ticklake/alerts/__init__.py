"""Alerts: conditions of a lake that somebody should know of, and notifications about them."""
