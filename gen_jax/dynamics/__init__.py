"""Ordinary differential equations: integrators on a fixed grid, and the divergence of a field."""
