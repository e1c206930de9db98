"""Corpora too large for memory: MeDAL, PubMed, downloads, data cards, mending."""
