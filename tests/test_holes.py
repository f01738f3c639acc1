import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg

from gen_jax import holes

LEVEL = 1 / 255


def some_holes(n=6, size=24):
  """Boxes, one of which is at a corner."""
  hole = holes.boxes(jax.random.split(jax.random.key(0), n), size, size, 6, 12)
  return hole.at[0].set(False).at[0, :9, :7].set(True)


def pictures(n=6, size=24, channels=3):
  return jax.random.uniform(jax.random.key(1), (n, size, size, channels))


def by_elimination(v, hole):
  """The Laplace system as its definition has it, pixel by pixel, by a sparse direct solver."""
  places = np.argwhere(hole)
  number = {tuple(p): i for i, p in enumerate(places)}
  matrix, b = scipy.sparse.lil_matrix((len(places),) * 2), np.zeros(len(places))
  for (i, j), row in number.items():
    for q in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
      if not (0 <= q[0] < hole.shape[0] and 0 <= q[1] < hole.shape[1]):
        continue
      matrix[row, row] += 1
      if q in number:
        matrix[row, number[q]] -= 1
      else:
        b[row] += v[q]
  out = np.array(v, np.float64)
  out[tuple(places.T)] = scipy.sparse.linalg.spsolve(matrix.tocsr(), b)
  return out


def test_a_harmonic_extension_solves_its_laplace_system():
  v, hole = pictures(), some_holes()
  u = holes.harmonic(v, hole)
  for i in range(len(v)):
    for c in range(3):
      wanted = by_elimination(np.asarray(v[i, ..., c]), np.asarray(hole[i]))
      np.testing.assert_allclose(u[i, ..., c], wanted, atol=2e-4 * LEVEL)


def test_any_shape_of_hole_and_pictures_without_one():
  v = pictures(2)
  scattered = jax.random.bernoulli(jax.random.key(2), 0.5, (24, 24))
  hole = jnp.stack([scattered, jnp.zeros_like(scattered)])
  u = holes.harmonic(v, hole)
  wanted = by_elimination(np.asarray(v[0, ..., 1]), np.asarray(hole[0]))
  np.testing.assert_allclose(u[0, ..., 1], wanted, atol=2e-4 * LEVEL)
  np.testing.assert_array_equal(u[1], v[1])
  assert not holes.harmonic(v, jnp.ones_like(hole)).any()


def test_linear_ramps_are_reproduced():
  i, j = jnp.meshgrid(jnp.linspace(0, 1, 24), jnp.linspace(0, 1, 24), indexing="ij")
  ramp = (0.2 + 0.5 * i - 0.3 * j)[None, ..., None]
  hole = jnp.zeros((1, 24, 24), bool).at[0, 5:17, 3:20].set(True)
  np.testing.assert_allclose(holes.harmonic(ramp, hole), ramp, atol=1e-6)


def test_a_fill_that_is_off_by_a_constant_is_blended_to_what_it_should_be():
  v, hole = pictures(), some_holes()
  np.testing.assert_allclose(holes.blend(v + 0.3, v, hole), v, atol=1e-6)


def test_nothing_is_blended_to_the_harmonic_extension():
  v, hole = pictures(), some_holes()
  flat = jnp.full_like(v, 0.7)
  made = holes.blend(flat, v, hole)
  np.testing.assert_allclose(made, holes.harmonic(v, hole), atol=2e-6)
  np.testing.assert_array_equal(jnp.where(hole[..., None], 0, made - v), 0)


def test_blending_keeps_differences_of_neighbours_as_near_as_a_border_allows():
  """The gradient of the energy int |grad f - grad g|^2 over f in the hole is 0 at the result."""
  with jax.enable_x64(True):
    g, v = jax.random.uniform(jax.random.key(4), (2, 6, 24, 24, 1), jnp.float64)
    hole = some_holes()

    def energy(f):
      f = jnp.where(hole[..., None], f, v) - g
      touched = lambda a, b: (a | b)[..., None]
      down = touched(hole[:, 1:], hole[:, :-1]) * jnp.diff(f, axis=1) ** 2
      right = touched(hole[:, :, 1:], hole[:, :, :-1]) * jnp.diff(f, axis=2) ** 2
      return down.sum() + right.sum()

    at = jax.grad(energy)(holes.blend(g, v, hole))
    assert abs(at).max() < 1e-10 < 1e-2 < abs(jax.grad(energy)(g)).max()


def test_examples_are_filled_by_themselves():
  v, hole = pictures(), some_holes()
  alone = holes.harmonic(v[2:3], hole[2:3])
  together = holes.harmonic(v, hole)
  np.testing.assert_allclose(together[2:3], alone, atol=1e-6)


def test_boxes_are_whole_and_of_every_size_and_place():
  hole = np.asarray(holes.boxes(jax.random.split(jax.random.key(3), 4000), 12, 9, 3, 5))
  heights, widths = hole.any(2).sum(1), hole.any(1).sum(1)
  np.testing.assert_array_equal(hole.sum((1, 2)), heights * widths)
  for sizes in (heights, widths):
    values, counts = np.unique(sizes, return_counts=True)
    assert values.tolist() == [3, 4, 5] and counts.min() > 4000 / 3 * 0.9
  assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.05
  first = hole.any(2).argmax(1)[heights == 4]
  assert set(first) == set(range(9))
  assert hole.any(0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mean_over_a_hole(channels):
  v, hole = pictures(channels=channels), some_holes().at[1].set(False)
  found = holes.over_hole(v, hole)
  for i in (0, 2, 3):
    assert found[i] == pytest.approx(np.asarray(v[i])[np.asarray(hole[i])].mean(), rel=1e-5)
  assert found[1] == 0
