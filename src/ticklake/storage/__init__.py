"""Bytes at rest: object stores, and how segments are encoded. Knows no catalog."""
