"""What is on disk: folders, the schema of their rows, tables."""
