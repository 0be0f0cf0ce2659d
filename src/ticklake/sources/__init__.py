"""The market: every source is async iterators of pages. Knows no lake."""
