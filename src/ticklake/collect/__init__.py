"""How data comes in from sources: plans, backfills, instruments, progress."""
