"""Expanding the short forms of real text."""
