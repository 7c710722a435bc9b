"""Model servers that others run: where they are, the way to them, and how they fail."""
