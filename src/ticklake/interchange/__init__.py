"""Other lakes, in and out: layouts of files that other programs write and read."""
