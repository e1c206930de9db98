"""Estimates what a recipe needs before anything is loaded: shapes, memory, compute."""
