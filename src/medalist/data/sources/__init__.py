"""Readers for the data sources, one module each."""
