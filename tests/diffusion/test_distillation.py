"""What students learn, of Gaussian data, whose denoisers and flows are linear and known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from gen_jax.diffusion import denoise as kinds
from gen_jax.diffusion import distillation, flow_solvers, grids, solvers
from gen_jax.diffusion.algebra import corrupt, expand, forms
from gen_jax.diffusion.path import cosine, linear, table, vp

MEAN, STD = -0.7, 0.6


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def exact(x, level):
  """E[x_0 | x_t] and what goes with it, of data N(MEAN, STD^2)."""
  alpha, sigma = expand(level.alpha, x), expand(level.sigma, x)
  away = (x - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)
  return forms(MEAN + STD**2 * alpha * away, sigma * away, level.alpha, level.sigma)


def in_steps(denoise, path, x, times):
  """DDIM of `solvers` from x through the times."""
  ddim = solvers.solver_of("ddim")
  levels = table(path, np.asarray(times))
  return solvers.follow(denoise, levels, None, x.shape[1:], solver=ddim, start=x, dtype=jnp.float64)


def points(n=9):
  return jnp.linspace(-3, 3, n, dtype=jnp.float64)[:, None]


def levels(path, *times):
  return [path.level(jnp.full(len(points()), t)) for t in times]


@pytest.mark.parametrize("kind", ["x0", "v"])
@pytest.mark.parametrize("path", [cosine, linear, vp])
@pytest.mark.parametrize("times", [(1.0, 0.75, 0.5), (0.5, 0.375, 0.25), (0.25, 0.125, 0.0)])
def test_one_step_of_the_student_is_two_of_the_teacher(kind, path, times):
  path, z = path(), points()
  now, half, then = levels(path, *times)
  x0 = distillation.two_steps(exact, z, now, half, then)
  eps = (z - expand(now.alpha, z) * x0) / expand(now.sigma, z)
  output = kinds.target(kind, x0, eps, now)
  student = lambda x, level: kinds.understood(output, kind, x, level)
  one = in_steps(student, path, z, times[::2])
  np.testing.assert_allclose(one, in_steps(exact, path, z, times), rtol=0, atol=1e-13)
  assert np.abs(one - in_steps(exact, path, z, times[::2])).max() > 1e-3


def test_the_last_step_leads_where_the_teacher_s_last_does():
  z = points()
  now, half, then = levels(cosine(), 0.25, 0.125, 0.0)
  z_half = in_steps(exact, cosine(), z, (0.25, 0.125))
  wanted = exact(z_half, half).x0
  np.testing.assert_allclose(
    distillation.two_steps(exact, z, now, half, then), wanted, rtol=0, atol=1e-14
  )


@pytest.mark.parametrize("path", [cosine, linear])
def test_exact_students_of_students_do_all_steps_in_one(path):
  path, denoise, steps = path(), exact, 16
  begin = path.level(jnp.asarray(1.0))
  while steps > 1:
    steps //= 2

    def denoise(x, level, teacher=denoise, steps=steps):
      half, then = (path.level(level.t - h / steps) for h in (0.5, 1.0))
      x0 = distillation.two_steps(teacher, x, level, half, then)
      return forms(x0, (x - level.alpha * x0) / level.sigma, level.alpha, level.sigma)

  z = points()
  wanted = in_steps(exact, path, z, np.linspace(1, 0, 17))
  np.testing.assert_allclose(denoise(z, begin).x0, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name,in_x0", [
  ("truncated_snr", lambda snr: np.maximum(snr, 1)), ("snr_plus_one", lambda snr: snr + 1),
])  # fmt: skip
def test_the_loss_at_the_start_is_the_teacher_s_own_step_beside_its_two(name, in_x0):
  """In units of x_0, weighted by SNR, with the target solved for as algorithm 2 there writes it."""
  path, steps, n = cosine(), 4, 64
  x0, eps = MEAN + STD * jax.random.normal(jax.random.key(0), (n, 3)), jnp.ones((n, 3)) * 0.4
  t = (jnp.arange(n) + 0.5) / n
  x, noise, at, weight = distillation.progressive(path, steps, distillation.WEIGHTS[name])(
    exact, x0, eps, t
  )
  # Each of the times i / steps as often as the others, and the same x_t there.
  np.testing.assert_allclose(at, np.repeat(np.arange(1, steps + 1) / steps, n // steps))
  level, then = path.level(at), path.level(at - 1 / steps)
  z = corrupt(x0, eps, level.alpha, level.sigma)
  np.testing.assert_allclose(corrupt(x, noise, level.alpha, level.sigma), z, atol=1e-14)
  output = exact(z, level)
  found = weight * ((output.v - kinds.target("v", x, noise, level)) ** 2).mean(-1)

  a, s, a_s, s_s = (c[:, None] for c in (level.alpha, level.sigma, then.alpha, then.sigma))
  ends = [
    in_steps(exact, path, z[i : i + 1], (u, u - 0.5 / steps, u - 1 / steps))
    for i, u in enumerate(np.asarray(at))
  ]
  target = (jnp.concatenate(ends) - s_s / s * z) / (a_s - s_s / s * a)
  snr = np.asarray((level.alpha / level.sigma) ** 2)
  wanted = in_x0(snr) * np.asarray(((output.x0 - target) ** 2).mean(-1))
  np.testing.assert_allclose(found, wanted, rtol=1e-9)
  assert (wanted > 1e-6).all()


def made(steps, solver=None):
  """Pairs of the exact teacher."""
  path = linear()
  nodes, weight = hermegauss(12)
  eps = jnp.asarray(nodes)[:, None]
  teach = distillation.reflow(
    table(path, grids.uniform(path, steps)), solver or flow_solvers.heun()
  )
  t = jnp.full(len(eps), 0.3)
  lesson = teach(exact, jnp.full_like(eps, jnp.nan), eps, t)
  np.testing.assert_array_equal(lesson.eps, eps)
  np.testing.assert_array_equal(lesson.t, t)
  return lesson, weight / weight.sum()


def test_pairs_are_the_ends_of_the_flow_by_the_order_of_the_solver():
  errors = []
  for steps in (8, 16, 32):
    lesson, _ = made(steps)
    errors.append(float(jnp.abs(lesson.x0 - (MEAN + STD * lesson.eps)).max()))
  assert errors[0] < 0.1  # where eps is 5.5
  assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
  assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)


def again(lesson):
  """The velocity that the pairs have: they are linear, so that no two of their lines cross."""
  slope, offset = np.polyfit(np.asarray(lesson.eps[:, 0]), np.asarray(lesson.x0[:, 0]), 1)

  def denoise(x, level):
    t = expand(level.t, x)
    eps = (x - (1 - t) * offset) / ((1 - t) * slope + t)
    return forms(offset + slope * eps, eps, level.alpha, level.sigma)

  return denoise


def test_the_flow_of_the_pairs_is_straight_and_takes_one_step():
  path = linear()
  lesson, weight = made(8)
  student = again(lesson)

  def error(denoise, t):
    """Expected squared error of a velocity at time t of the pairs."""
    level = path.level(jnp.full(len(lesson.eps), t))
    x = corrupt(lesson.x0, lesson.eps, level.alpha, level.sigma)
    p = denoise(x, level)
    return float((weight * ((p.eps - p.x0 - (lesson.eps - lesson.x0)) ** 2)[:, 0]).sum())

  for t in (0.1, 0.5, 0.9):
    assert error(student, t) < 1e-24
    assert error(exact, t) > 1e-4
  euler = flow_solvers.euler()
  for steps in (1, 3):
    x = solvers.follow(
      student, table(path, grids.uniform(path, steps)), None, (1,), solver=euler,
      start=lesson.eps, dtype=jnp.float64,
    )  # fmt: skip
    np.testing.assert_allclose(x, lesson.x0, rtol=0, atol=1e-12)
