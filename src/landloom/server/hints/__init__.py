"""What the operator offers, as clients list it before they submit."""
