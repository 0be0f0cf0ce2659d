"""What is true: one catalog on SQLAlchemy Core, SQLite by default. Knows no files."""
