"""Passages, sense inventories, and the marking of short forms in text."""
