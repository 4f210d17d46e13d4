"""What travels between client, server and engine: enums, requests, results, progress.

A leaf: it needs pydantic and the standard library, nothing of Landloom but `errors`.
"""
