"""From scores to figures: baselines, metrics, slices, intervals."""
