"""Answers made of what is stored: adjusted bars, resampled bars, order books."""
