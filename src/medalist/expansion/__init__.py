"""Real text in, expanded text out."""
