"""PSNR, SSIM and the share of detail against closed forms and pictures whose figures are known."""

import numpy as np
import pytest

from gen_jax import metrics

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("offset", [1, 7, 100])
def test_psnr_of_an_offset(offset):
  x = RNG.integers(0, 100, size=(3, 8, 9))
  np.testing.assert_allclose(metrics.psnr(x, x + offset), 20 * np.log10(255 / offset))


def test_psnr_is_of_each_picture_and_ends_at_100():
  x = RNG.integers(0, 200, size=(2, 8, 9))
  y = x + np.array([0, 10])[:, None, None]
  np.testing.assert_allclose(metrics.psnr(x, y), [100, 20 * np.log10(25.5)])


def test_luminance_of_colours():
  colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
  # 16 + 65.481, 128.553 and 24.966 for the primaries.
  np.testing.assert_array_equal(metrics.luminance(colours), [16, 235, 81, 145, 41])
  grey = RNG.integers(0, 256, size=(4, 4, 1))
  np.testing.assert_array_equal(metrics.luminance(grey), metrics.luminance(grey.repeat(3, -1)))
  np.testing.assert_array_equal(metrics.luminance(np.array([300.0, 254.6, 255.4])), 235)


def test_ssim_of_one_window_is_that_of_its_weighted_moments():
  a, b = RNG.uniform(0, 255, size=(2, 11, 11))
  i, j = np.mgrid[-5:6, -5:6]
  weights = np.exp(-(i**2 + j**2) / (2 * 1.5**2)).ravel()
  cov = np.cov(a.ravel(), b.ravel(), aweights=weights, ddof=0)
  m, n = (np.average(x.ravel(), weights=weights) for x in (a, b))
  c1, c2 = 2.55**2, 7.65**2
  structure = (2 * cov[0, 1] + c2) / (cov[0, 0] + cov[1, 1] + c2)
  wanted = (2 * m * n + c1) / (m**2 + n**2 + c1) * structure
  assert metrics.ssim(a, b) == pytest.approx(wanted, rel=1e-9)


def test_ssim_in_closed_form():
  x = RNG.uniform(0, 255, size=(2, 20, 16))
  np.testing.assert_allclose(metrics.ssim(x, x), 1)
  flat = np.full((12, 13), 100.0)
  c1 = 2.55**2
  wanted = (2 * 100 * 130 + c1) / (100**2 + 130**2 + c1)
  assert metrics.ssim(flat, flat + 30) == pytest.approx(wanted)
  # A checkerboard and its negative about 100: equal moments, and a covariance of -variance.
  board = np.where(np.indices((11, 11)).sum(0) % 2, 50.0, -50.0)
  found = metrics.ssim(100 + board, 100 - board)
  assert found == pytest.approx((7.65**2 - 2 * 2500) / (7.65**2 + 2 * 2500), rel=0.01)


def test_ssim_takes_whole_windows_only():
  a, b = RNG.uniform(0, 255, size=(2, 15, 12))
  windows = [
    metrics.ssim(*(x[i : i + 11, j : j + 11] for x in (a, b))) for i in range(5) for j in range(2)
  ]
  assert metrics.ssim(a, b) == pytest.approx(np.mean(windows), rel=1e-9)


@pytest.mark.parametrize("cycles,share", [(4, 0), (12, 1)])
def test_detail_of_a_wave(cycles, share):
  i = np.arange(64)
  wave = 100 + 50 * np.cos(2 * np.pi * cycles * i / 64)[:, None] * np.ones(48)
  found = metrics.detail(np.stack([wave, 3 * wave]), 1 / 8)
  np.testing.assert_allclose(found, share, atol=1e-3)


def test_detail_of_noise_is_the_area_of_its_frequencies():
  noise = RNG.normal(size=(64, 96, 96))
  area = 1 - np.pi / 4**2  # of a disc of radius 1/4 in the square of frequencies
  assert metrics.detail(noise, 1 / 4).mean() == pytest.approx(area, abs=0.01)
  assert metrics.detail(np.full((8, 8), 3.0), 0.1) == pytest.approx(0, abs=1e-12)


def test_a_slope_has_little_detail():
  slope = np.linspace(0, 200, 64) * np.ones((64, 1))
  assert metrics.detail(slope, 1 / 8) < 1e-3
