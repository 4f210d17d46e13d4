"""Factories of the engine's tests: small stores, exported models, untiled references."""
