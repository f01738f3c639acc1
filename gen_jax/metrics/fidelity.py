"""How near a picture is to the one that was wanted, as super-resolution is measured.

psnr  10 log10(peak^2 / mean (a - b)^2), in dB
ssim  mean over windows of
      (2 m_a m_b + c1) (2 s_ab + c2) / ((m_a^2 + m_b^2 + c1) (s_a^2 + s_b^2 + c2)),
      c1 = (0.01 peak)^2, c2 = (0.03 peak)^2, moments weighted by a Gaussian of sigma 1.5 on
      pixels, of the windows that lie within the picture (Wang et al. 2004, eq. 13)
detail  the share of a picture's energy at high frequencies
"""

from __future__ import annotations

import chex
import numpy as np
from scipy.ndimage import correlate1d

from gen_jax.colour import luma

PEAK = 255.0
BEST = 100.0  # dB, of pictures that are equal or nearly so
REACH, SIGMA = 5, 1.5  # of SSIM's window, which is 11 pixels wide
SMALLEST = 2 * REACH + 1


def luminance(x: np.ndarray) -> np.ndarray:
  """Y of BT.601 in whole numbers of 16..235, [...]: of grey or RGB pictures [..., C] in
  0..255, rounded first as 8 bits hold them."""
  x = np.rint(x).clip(0, PEAK).astype(np.float32)
  x = np.broadcast_to(x, (*x.shape[:-1], 3))
  return np.rint(np.asarray(luma(x)))


def decibels(error: np.ndarray | float) -> np.ndarray:
  """-10 log10 of mean squared errors of numbers in [0, 1], in dB, at most 100."""
  return -10 * np.log10(np.maximum(error, 10 ** (-BEST / 10)))


def psnr(a: np.ndarray, b: np.ndarray, peak: float = PEAK) -> np.ndarray:
  """[...] in dB, at most 100, of pictures a, b [..., H, W]."""
  chex.assert_equal_shape([a, b])
  error = ((np.asarray(a, np.float64) - b) ** 2).mean((-2, -1)) / peak**2
  return decibels(error)


def window() -> np.ndarray:
  """SSIM's weights in one direction, [11]."""
  weights = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / SIGMA) ** 2)
  return weights / weights.sum()


def local_mean(x: np.ndarray) -> np.ndarray:
  """Weighted means over the windows in x: [..., H, W] -> [..., H - 10, W - 10]."""
  for axis in (-2, -1):
    x = correlate1d(x, window(), axis=axis)
  return x[..., REACH:-REACH, REACH:-REACH]


def ssim(a: np.ndarray, b: np.ndarray, peak: float = PEAK) -> np.ndarray:
  """[...] of pictures a, b [..., H, W] of 11 pixels or more each way."""
  chex.assert_equal_shape([a, b])
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
  mean_a, mean_b = local_mean(a), local_mean(b)
  var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
  both = local_mean(a * b) - mean_a * mean_b
  likeness = (2 * mean_a * mean_b + c1) * (2 * both + c2)
  return (likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean((-2, -1))


def detail(x: np.ndarray, above: float) -> np.ndarray:
  """The share [...] of the energy of x [..., H, W] at frequencies of more than `above` cycles a
  pixel, in any direction. The mean is left out, and a Hann window takes off the borders, whose jump
  from one side to the other would be detail."""
  x = np.asarray(x, np.float64)
  height, width = x.shape[-2:]
  taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
  mean = (x * taper).sum((-2, -1), keepdims=True) / taper.sum()
  energy = np.abs(np.fft.fft2((x - mean) * taper)) ** 2
  frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
  whole = energy.sum((-2, -1))
  return (energy * (frequency > above)).sum((-2, -1)) / np.where(whole > 0, whole, 1)
