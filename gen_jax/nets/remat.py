"""Modules that forget their activations and compute them again for the gradient."""

from __future__ import annotations

from flax import linen as nn


def rematted(module: type[nn.Module], static_argnums: tuple[int, ...] = ()) -> type[nn.Module]:
  """The module under `jax.checkpoint` (Chen et al. 2016, arXiv:1604.06174), with the same names of
  parameters. static_argnums: arguments that are no arrays, self being 0."""
  lifted = nn.remat(module, static_argnums=static_argnums)
  lifted.__name__ = module.__name__
  return lifted
