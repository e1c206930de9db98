"""Corpora too large for memory: MeDAL and PubMed, downloads, label repair, data cards."""
