"""Pacing: turns at an exchange, shared by all processes of a user on a machine, and what exchanges say about them."""
