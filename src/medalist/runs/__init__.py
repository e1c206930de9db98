"""What a run folder is and does: prepare, train, evaluate, adapt, check claims, report."""
