"""Landloom: a self-hosted platform for Earth-imagery AI."""
