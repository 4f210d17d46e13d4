"""How much lies in managed storage, by prefix, and how much may."""
