"""Colours: sRGB to CIE L*a*b* and back, the luma of television, and a palette of classes.

sRGB's transfer curve and primaries are those of IEC 61966-2-1, with its white point D65; L*a*b* is
that of CIE 15. L is in 0..100; of sRGB colours a and b are within -108..99.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

# Linear sRGB -> XYZ, rows X, Y, Z. White, the sum of each row, is D65.
XYZ = np.array(
  [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
  ]
)
WHITE = XYZ.sum(axis=1)
KNEE = 6 / 29  # of the cube root, which is a line below it
LUMA = np.array([65.481, 128.553, 24.966])  # ITU-R BT.601


def rgb_to_lab(rgb: Array) -> Array:
  """sRGB [..., 3] in [0, 1] -> L, a, b [..., 3]."""
  chex.assert_axis_dimension(rgb, -1, 3)
  steep = rgb > 0.04045
  linear = jnp.where(steep, ((jnp.where(steep, rgb, 1) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
  t = product(linear, XYZ.T / WHITE)
  above = t > KNEE**3
  # The cube root's slope at 0 is infinite, also where the line is taken.
  f = jnp.where(above, jnp.cbrt(jnp.where(above, t, 1)), t / (3 * KNEE**2) + 4 / 29)
  x, y, z = f[..., 0], f[..., 1], f[..., 2]
  return jnp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_rgb(lab: Array) -> Array:
  """L, a, b [..., 3] -> sRGB [..., 3], outside of [0, 1] for a colour that sRGB lacks."""
  chex.assert_axis_dimension(lab, -1, 3)
  y = (lab[..., 0] + 16) / 116
  f = jnp.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
  t = jnp.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29))
  linear = product(t, (np.linalg.inv(XYZ) * WHITE).T)
  steep = linear > 0.0031308
  root = jnp.where(steep, linear, 1) ** (1 / 2.4)
  return jnp.where(steep, 1.055 * root - 0.055, 12.92 * linear)


def luma(rgb: Array) -> Array:
  """Y of BT.601, 16 for black and 235 for white, of RGB [..., 3] in 0..255: [...]."""
  chex.assert_axis_dimension(rgb, -1, 3)
  return 16 + product(rgb, LUMA[:, None] / 255)[..., 0]


def product(x: Array, matrix: np.ndarray) -> Array:
  """x [..., n] times [n, m], in full precision on every device."""
  return jnp.matmul(x, jnp.asarray(matrix, x.dtype), precision=jax.lax.Precision.HIGHEST)


# Of classes 0, 1, ...: black, and Tableau's ten and their ten lighter companions. White is of none.
PALETTE = np.array(
  [
    (0, 0, 0),
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
    (174, 199, 232), (255, 187, 120), (152, 223, 138), (255, 152, 150), (197, 176, 213),
    (196, 156, 148), (247, 182, 210), (199, 199, 199), (219, 219, 141), (158, 218, 229),
  ],
  np.uint8,
)  # fmt: skip
NO_CLASS = 255


def paint(labels: np.ndarray) -> np.ndarray:
  """Label images [...] in colours [..., 3] uint8, those of the PALETTE over again if there are more
  classes; NO_CLASS is white."""
  labels = np.asarray(labels)
  colours = PALETTE[labels % len(PALETTE)]
  return np.where((labels == NO_CLASS)[..., None], np.uint8(255), colours)


def classes_of(painted: np.ndarray, classes: int) -> np.ndarray:
  """The class 0..classes-1, int32 [...], whose colour of the PALETTE is nearest to that of each
  pixel of pictures [..., 3] uint8; the first of those that are as near."""
  apart = [((painted.astype(np.int32) - colour) ** 2).sum(-1) for colour in PALETTE[:classes]]
  return np.argmin(apart, axis=0).astype(np.int32)
