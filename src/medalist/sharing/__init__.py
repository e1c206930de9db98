"""Out to others and back: export, merge, publish, pull."""
