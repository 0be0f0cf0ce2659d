"""Public dump sites: files of history that exchanges publish beside their calls."""
