"""Organizations, users and API keys."""
