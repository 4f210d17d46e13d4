"""Small functions for notebooks."""
