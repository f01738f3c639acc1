"""A page on this machine to play with a trained model."""

from gen_jax.app.demo.page import serve

__all__ = ["serve"]
