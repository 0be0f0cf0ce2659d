"""Side-by-side measurements of Ticklake and its peers. Nothing here is part of the package."""
