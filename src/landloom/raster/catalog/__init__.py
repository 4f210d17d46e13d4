"""Datasets and recipes as data."""
