import numpy as np
import pytest
from scipy import integrate, spatial, special, stats
from sklearn import datasets

from gen_jax import data
from gen_jax.data import toy2d


def points(name, n=60_000):
  return toy2d.draw(name, n, np.random.default_rng(7))


@pytest.mark.parametrize("name", toy2d.NAMES)
def test_entropy_by_nearest_neighbours(name):
  """Kozachenko and Leonenko's estimate knows nothing of how the points were drawn."""
  k = 4
  x = points(name)["x"].astype(np.float64)
  radius = spatial.cKDTree(x).query(x, k + 1)[0][:, -1]
  estimate = special.digamma(len(x)) - special.digamma(k) + np.mean(np.log(np.pi * radius**2))
  # Its error is about 0.005, and on the sharp edges of checkerboard a bias of 0.02.
  assert estimate == pytest.approx(toy2d.ENTROPY[name], abs=0.03)


def entropy_of_rings(radii, deviation):
  """The radius on a noisy circle is a Rice variable, and the angle is uniform."""

  def integrand(r):
    radial = np.mean([stats.rice.pdf(r, a / deviation, scale=deviation) for a in radii])
    return -radial * np.log(radial / (2 * np.pi * r)) if radial > 0 else 0.0

  top = max(radii) + 10 * deviation
  return integrate.quad(integrand, 1e-9, top, limit=500, points=radii)[0]


@pytest.mark.parametrize(
  "name, radii, deviation",
  [("rings", [0.75, 1.5, 2.25, 3], 0.08), ("circles", [1.5, 3], 0.24)],
)
def test_entropy_of_rings(name, radii, deviation):
  assert entropy_of_rings(radii, deviation) == pytest.approx(toy2d.ENTROPY[name], abs=6e-4)


def test_entropy_of_8gaussians():
  centres, deviation = toy2d.MODES["8gaussians"]
  axis = np.linspace(-6, 6, 601)
  grid = np.stack(np.meshgrid(axis, axis), -1)
  density = np.mean(
    [stats.multivariate_normal.pdf(grid, c, deviation**2 * np.eye(2)) for c in centres], 0
  )
  entropy = special.entr(density).sum() * (axis[1] - axis[0]) ** 2
  assert entropy == pytest.approx(toy2d.ENTROPY["8gaussians"], abs=6e-4)


def curve(name):
  if name == "moons":
    return 2 * datasets.make_moons(2000)[0] + [-1, -0.2]
  return datasets.make_swiss_roll(2000, random_state=0)[0][:, [0, 2]] / 5


@pytest.mark.parametrize("name", ["moons", "swissroll"])
def test_points_have_the_likelihood_of_the_noisy_curve(name):
  """scikit-learn draws the curve, and Gaussian noise of 0.2 makes a density of it."""
  x = points(name, 4000)["x"]
  squares = spatial.distance.cdist(x, curve(name), "sqeuclidean")
  log_density = special.logsumexp(-squares / (2 * 0.2**2), axis=1) - np.log(
    squares.shape[1] * 2 * np.pi * 0.2**2
  )
  error = 4 * log_density.std() / np.sqrt(len(x))
  assert -log_density.mean() == pytest.approx(toy2d.ENTROPY[name], abs=error + 0.01)


def test_checkerboard_fills_its_squares():
  out = points("checkerboard")
  assert abs(out["x"]).max() <= 4
  column, row = np.floor(out["x"].T / 2).astype(int)
  assert ((column + row) % 2 == 0).all()
  squares = {}
  for label in range(8):
    inside = out["label"] == label
    assert inside.mean() == pytest.approx(1 / 8, abs=0.01)
    squares[label] = set(zip(column[inside].tolist(), row[inside].tolist()))
  assert len(set.union(*squares.values())) == 8
  assert all(len(square) == 1 for square in squares.values())


@pytest.mark.parametrize("name", list(toy2d.MODES))
def test_modes(name):
  out = points(name)
  centres, deviation = toy2d.MODES[name]
  assert len(centres) == {"8gaussians": 8, "ring8": 8, "grid25": 25}[name]
  for label, centre in enumerate(centres):
    x = out["x"][out["label"] == label]
    error = 5 * deviation / np.sqrt(len(x))
    np.testing.assert_allclose(x.mean(0), centre, atol=error)
    np.testing.assert_allclose(x.std(0), deviation, atol=error)


def test_splits():
  loaded = data.load("toy2d:swissroll")
  arrays = {name: split.arrays()["x"] for name, split in loaded.splits.items()}
  assert {k: v.shape for k, v in arrays.items()} == {
    "train": (100_000, 2), "validation": (10_000, 2), "test": (100_000, 2),
  }  # fmt: skip
  assert len(np.unique(np.concatenate(list(arrays.values())), axis=0)) > 209_990
  assert loaded.spec.levels is None and loaded.spec.classes == 0
  again = data.load("toy2d:swissroll").splits["test"].arrays()["x"]
  np.testing.assert_array_equal(again, arrays["test"])
  other = data.load("toy2d:swissroll", split_seed=1, validation=0)
  assert (other.splits["test"].arrays()["x"] != again).all(1).mean() > 0.99
  assert list(other.splits) == ["train", "test"]


@pytest.mark.parametrize("name", toy2d.NAMES)
def test_the_density_is_that_of_the_points(name):
  x = points(name, 20_000)["x"]
  log_p = toy2d.log_density(name, x)
  # Points on the border of a square may be rounded to outside of it.
  log_p = log_p[np.isfinite(log_p)]
  assert len(log_p) > 19_990
  error = 4 * log_p.std() / len(log_p) ** 0.5 + 1e-3
  assert -log_p.mean() == pytest.approx(toy2d.ENTROPY[name], abs=error)


@pytest.mark.parametrize("name", ["8gaussians", "moons", "checkerboard", "rings", "swissroll"])
def test_the_density_integrates_to_one(name):
  axis = np.arange(-6, 6, 0.05) + 0.025
  grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
  assert np.exp(toy2d.log_density(name, grid)).sum() * 0.05**2 == pytest.approx(1, abs=5e-3)
