"""Turns scores into figures: baselines, metrics, slices, intervals."""
