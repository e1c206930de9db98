"""Expansion over HTTP: one model, many clients."""
