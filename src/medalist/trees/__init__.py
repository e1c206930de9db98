"""The core idea: many questions about a text in one sequence. Wording, windows, token trees, scoring, losses."""
