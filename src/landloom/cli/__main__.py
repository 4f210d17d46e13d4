"""`python -m landloom.cli`: the same as `landloom`."""

from landloom.cli import app

app()
