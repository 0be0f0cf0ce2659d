"""Files that others wrote: what they are, how they are read, and how they come in."""
