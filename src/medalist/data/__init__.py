"""Passages, inventories, and how text becomes marked text."""
