"""Expanding the short forms in real text."""
