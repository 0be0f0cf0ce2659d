"""Is the data right and complete: gaps, outages, sequence numbers, quality, cross-checks, repair."""
