"""How much of a picture repeats with the stride of an upsampling, and is not the picture's.

Energies are means over the pixels, summed over the channels; the stride s divides H and W.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array


def unevenness(kernel: int, stride: int) -> float:
  """Standard deviation over mean of how many taps of a kernel x kernel transposed convolution fall
  on each of the stride x stride phases (Odena et al. 2016): 0 where the stride divides the kernel.
  """
  taps = np.bincount(np.arange(kernel) % stride, minlength=stride)
  both = np.outer(taps, taps)
  return float(both.std() / both.mean())


def phase_means(y: Array, stride: int) -> Array:
  """Means over the pixels (s a + i, s b + j): [B, H, W, C] -> [B, s, s, C]."""
  batch, height, width, channels = y.shape
  y = y.reshape(batch, height // stride, stride, width // stride, stride, channels)
  return y.mean((1, 3))


def lattice_energy(y: Array, stride: int) -> Array:
  """Variance [B] of the phase means of y [B, H, W, C]: by Parseval's theorem the energy at the
  frequencies (a H/s, b W/s), not both 0."""
  return phase_means(y, stride).var((1, 2)).sum(-1)


def energy(y: Array) -> Array:
  """Of y [B, H, W, C] without its mean: [B]."""
  return y.var((1, 2)).sum(-1)


def in_band(height: int, width: int, stride: int) -> np.ndarray:
  """Whether a picture of 1/s the size holds the frequency, |f| <= 1/(2 s) in both directions:
  [H, W, 1], in the order of `fft2`."""
  low = [np.abs(np.fft.fftfreq(n)) <= 1 / (2 * stride) for n in (height, width)]
  return (low[0][:, None] & low[1])[..., None]


def low_pass(x: Array, stride: int) -> Array:
  """x [B, H, W, C] without the frequencies that a picture of 1/s the size cannot hold."""
  kept = in_band(*x.shape[1:3], stride)
  return jnp.fft.ifft2(jnp.where(kept, jnp.fft.fft2(x, axes=(1, 2)), 0), axes=(1, 2)).real


def replica_energy(y: Array, stride: int) -> Array:
  """Energy [B] of y [B, H, W, C] at those frequencies."""
  outside = y - low_pass(y, stride)
  return (outside**2).mean((1, 2)).sum(-1)
