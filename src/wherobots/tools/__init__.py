"""Tools that public notebooks import by this name.

`wherobots` itself is a namespace without a module of its own, so that other distributions may bring
further parts of it.
"""
