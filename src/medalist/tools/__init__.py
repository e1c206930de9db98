"""Utilities independent of medicine and models: atomic file writes, progress, workers, the Hub client, pages."""
