"""Run folders and what is done with them: prepare, train, evaluate, adapt, check claims, report."""
