"""Sharing runs: export, merge, publish and pull them."""
