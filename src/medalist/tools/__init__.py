"""Help that knows nothing of medicine or models: files put in place whole, progress, workers, the Hub's client, pages."""
