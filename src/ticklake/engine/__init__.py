"""The storage engine: storage and catalog together, one commit per change."""
