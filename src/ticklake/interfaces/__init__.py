"""How people and programs reach a lake."""
