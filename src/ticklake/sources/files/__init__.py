"""Files that others wrote: what they are, how they are unpacked, and what stands in them."""
