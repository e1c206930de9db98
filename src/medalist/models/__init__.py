"""Bases and adapters: finding, loading, precision, licences."""
