"""Where passages come from: each source is a module that yields them."""
