"""Checkerboards by two computations of each number, and by pictures whose numbers are known."""

import numpy as np
import pytest

from gen_jax.metrics import checkerboard

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kernel,stride", [(3, 2), (5, 2), (4, 2), (7, 2), (4, 3), (9, 4), (6, 3)])
def test_unevenness_by_counting(kernel, stride):
  counts = np.zeros((40 * stride,) * 2)
  for i, j in np.ndindex(40, 40):
    counts[stride * i : stride * i + kernel, stride * j : stride * j + kernel] += 1
  inner = counts[8 * stride : -8 * stride, 8 * stride : -8 * stride]
  found = checkerboard.unevenness(kernel, stride)
  np.testing.assert_allclose(found, inner.std() / inner.mean(), atol=1e-12)
  assert (found == 0) == (kernel % stride == 0)


@pytest.mark.parametrize("stride,size", [(2, (8, 12)), (3, (9, 6)), (4, (8, 16))])
def test_phase_means_and_the_spectrum_agree(stride, size):
  y = RNG.normal(size=(3, *size, 2)).astype(np.float32)
  spectrum = np.abs(np.fft.fft2(y, axes=(1, 2))) ** 2 / (size[0] * size[1]) ** 2
  lattice = spectrum[:, :: size[0] // stride, :: size[1] // stride].sum((1, 2, 3))
  dc = spectrum[:, 0, 0].sum(-1)
  np.testing.assert_allclose(checkerboard.lattice_energy(y, stride), lattice - dc, rtol=1e-4)
  np.testing.assert_allclose(checkerboard.energy(y), spectrum.sum((1, 2, 3)) - dc, rtol=1e-4)
  rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in size)
  outside = (rows[:, None] > size[0] / 2 / stride) | (columns > size[1] / 2 / stride)
  replicas = spectrum[:, outside].sum((1, 2))
  np.testing.assert_allclose(checkerboard.replica_energy(y, stride), replicas, rtol=1e-4)


def test_a_checkerboard_is_all_lattice_and_a_slow_wave_none():
  i, j = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
  board = ((i + j) % 2).astype(np.float32)[None, ..., None]
  wave = np.cos(2 * np.pi * 3 * i / 16).astype(np.float32)[None, ..., None]
  share = lambda part, y: float((part(y, 2) / checkerboard.energy(y))[0])
  for part in (checkerboard.lattice_energy, checkerboard.replica_energy):
    assert share(part, board) == pytest.approx(1, abs=1e-5)
    assert share(part, wave) == pytest.approx(0, abs=1e-5)
  # A board whose sign follows the wave cancels in the phase means, and is a replica all the same.
  product = (2 * board - 1) * wave
  assert share(checkerboard.lattice_energy, product) == pytest.approx(0, abs=1e-5)
  assert share(checkerboard.replica_energy, product) == pytest.approx(1, abs=1e-5)
  np.testing.assert_allclose(checkerboard.low_pass(wave + board, 2), wave + 0.5, atol=1e-5)
