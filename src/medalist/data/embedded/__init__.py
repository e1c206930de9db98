"""The data that ships with the package: original writing, CC0."""
