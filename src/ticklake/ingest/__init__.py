"""How data comes in: plans, backfills, and what is recorded about them."""
