"""Adversarial losses against derivatives on paper, and the critics that are known to be optimal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit

from gen_jax.losses import adversarial
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import Penalties, penalise

REAL = np.array([-3.0, -0.4, 0.3, 2.5])
FAKE = np.array([1.7, -2.2, 0.6, -0.1])
one = np.ones(4)

# With D = sigmoid(l): d log D / dl = 1 - D and d log(1 - D) / dl = -D.
GRADIENTS = {
  # name: the critic's by the real logits and by the fake ones, and the generator's by the fake ones
  "mm": (expit(REAL) - 1, expit(FAKE), -expit(FAKE)),
  "ns": (expit(REAL) - 1, expit(FAKE), expit(FAKE) - 1),
  "wgan": (-one, one, -one),
  "ls": (2 * (REAL - 1), 2 * FAKE, 2 * (FAKE - 1)),
  "hinge": (-1.0 * (REAL < 1), 1.0 * (FAKE > -1), -one),
  "rp": (-expit(FAKE - REAL), expit(FAKE - REAL), -expit(REAL - FAKE)),
}


def test_the_table_is_covered():
  assert set(GRADIENTS) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_at_the_logits_example_by_example(name):
  loss, (by_real, by_fake, of_generator) = LOSSES[name], GRADIENTS[name]
  real, fake = jnp.asarray(REAL, jnp.float32), jnp.asarray(FAKE, jnp.float32)
  jacobians = jax.jacobian(loss.critic, (0, 1))(real, fake)
  # Diagonal: the loss of an example is a function of its own logits.
  np.testing.assert_allclose(jacobians[0], np.diag(by_real), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(jacobians[1], np.diag(by_fake), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(
    jax.jacobian(loss.generator, 1)(real, fake), np.diag(of_generator), rtol=1e-5, atol=1e-6
  )


# The least of p l_D(l, .) + q l_D(., l) over the logit l of a point with densities p and q.
OPTIMA = {
  "mm": lambda p, q: np.log(p / q),
  "ns": lambda p, q: np.log(p / q),
  "ls": lambda p, q: p / (p + q),
  "hinge": lambda p, q: np.sign(p - q),
}


@pytest.mark.parametrize("name", OPTIMA)
@pytest.mark.parametrize("p,q", [(0.3, 0.7), (0.8, 0.1)])
def test_the_critic_s_optimum(name, p, q):
  critic = LOSSES[name].critic

  def cost(l):
    # Both terms at one logit: the sum's cross terms come off with a logit of the other side fixed.
    l, nil = jnp.float32([l]), jnp.zeros(1)
    on_real, on_fake, both = critic(l, nil), critic(nil, l), critic(nil, nil)
    return float((p * (on_real - both) + q * (on_fake - both))[0])

  found = optimize.minimize_scalar(cost, bounds=(-4, 4), method="bounded", options={"xatol": 1e-5})
  np.testing.assert_allclose(found.x, OPTIMA[name](p, q), atol=5e-3)


def test_mm_at_the_optimum_is_the_jensen_shannon_divergence():
  # E_p log D + E_q log(1 - D) = -2 log 2 + 2 JSD (Goodfellow et al. 2014, theorem 1).
  p, q = np.array([0.1, 0.6, 0.3]), np.array([0.5, 0.2, 0.3])
  logits = jnp.asarray(np.log(p / q), jnp.float32)
  real, fake = jnp.repeat(logits, 3), jnp.tile(logits, 3)
  value = np.asarray(LOSSES["mm"].critic(real, fake)) @ np.outer(p, q).reshape(-1)
  m = (p + q) / 2
  jsd = (p @ np.log(p / m) + q @ np.log(q / m)) / 2
  np.testing.assert_allclose(value, 2 * np.log(2) - 2 * jsd, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_far_logits_are_finite_and_the_losing_player_feels_them(name):
  real, fake = jnp.float32([-200.0]), jnp.float32([200.0])  # the critic is wrong about both
  value, gradient = jax.value_and_grad(lambda l: LOSSES[name].critic(l, fake).sum())(real)
  assert jnp.isfinite(value) and value > 100
  assert jnp.isfinite(gradient).all() and (gradient <= -0.99).all()
  nil = jnp.zeros(1)
  lost = jax.grad(lambda l: LOSSES[name].generator(nil, l).sum())(jnp.float32([-200.0]))
  # mm's generator is the one whose gradient vanishes when its fakes are seen through.
  assert jnp.isfinite(lost).all() and ((jnp.abs(lost) > 0.99) == (name != "mm")).all()


def test_relativistic_players_swap_losses_with_their_examples():
  real, fake, loss = jnp.asarray(REAL), jnp.asarray(FAKE), LOSSES["rp"]
  np.testing.assert_allclose(loss.critic(real, fake), loss.generator(fake, real))
  np.testing.assert_allclose(loss.critic(real, real), np.full(4, np.log(2)), rtol=1e-6)


def test_which_critic_a_constant_leaves_alone():
  for name, loss in LOSSES.items():
    moved = loss.critic(jnp.asarray(REAL) + 0.7, jnp.asarray(FAKE) + 0.7)
    same = np.allclose(moved, loss.critic(jnp.asarray(REAL), jnp.asarray(FAKE)), atol=1e-5)
    assert same == loss.translates, name


def test_saturation_counts_logits_at_which_the_critic_s_loss_is_flat():
  # For cross-entropy: D(x) > 0.95 and D(y) < 0.05, that is a logit beyond log 19 = 2.944.
  edge = np.log(19)
  real = jnp.float32([edge + 0.01, edge - 0.01, edge + 0.01, -9])
  fake = jnp.float32([-edge - 0.01, -edge - 0.01, -edge + 0.01, 9])
  np.testing.assert_array_equal(adversarial.saturation(LOSSES["ns"], real, fake), [1, 0.5, 0.5, 0])
  np.testing.assert_array_equal(adversarial.saturation(LOSSES["wgan"], real, fake), np.zeros(4))
  sides = jnp.float32([1.2, 0.8]), jnp.float32([-1.2, -1.2])
  np.testing.assert_array_equal(adversarial.saturation(LOSSES["hinge"], *sides), [1, 0.5])


def test_reconstruction_error_is_of_a_whole_example():
  x = jnp.zeros((3, 2, 2, 1))
  y = jnp.float32([0, 1, -2])[:, None, None, None] * jnp.float32([[[1], [0]], [[1], [2]]])
  np.testing.assert_allclose(adversarial.reconstruction_error(x, y), [0, 1, 2])


def test_began_s_controller_holds_fakes_at_their_share():
  # With e(y) rising in proportion to k the controller comes to rest where e(y) = gamma e(x).
  k, real = jnp.float32(0), jnp.float32(2)
  for _ in range(300):
    fake = 4 * k
    k = adversarial.began_controller(k, real, fake, gamma=0.5, lambda_k=0.01)
  np.testing.assert_allclose(4 * k, 0.5 * 2, rtol=1e-3)
  np.testing.assert_allclose(adversarial.began_convergence(real, 4 * k, 0.5), 2, rtol=1e-3)
  assert adversarial.began_controller(jnp.float32(1), real, jnp.float32(0), 0.5, 0.1) == 1
  assert adversarial.began_controller(jnp.float32(0), real, jnp.float32(3), 0.5, 0.1) == 0
  critic = adversarial.began_critic(jnp.float32([1, 2]), jnp.float32([3, 4]), jnp.float32(0.5))
  np.testing.assert_allclose(critic, [-0.5, 0])


@pytest.mark.parametrize("made", ["as the data", "otherwise"])
def test_a_critic_of_pairs_at_its_optimum(made):
  """Of pictures and texts of two values each: D = p / (p + (p_wrong + p_made) / 2)."""
  p = np.array([[0.4, 0.1], [0.2, 0.3]])
  wrong = np.outer(p.sum(1), p.sum(0)).reshape(-1)
  p, q = p.reshape(-1), np.array([0.1, 0.5, 0.15, 0.25])
  q = p if made == "as the data" else q
  cells = np.array(list(np.ndindex(4, 4, 4))).T
  weight = jnp.asarray(p[cells[0]] * wrong[cells[1]] * q[cells[2]])
  expected = jax.jit(lambda l: (weight * adversarial.matching_critic(*l[cells], True)).sum())
  slope = jax.jit(jax.grad(expected))
  found = optimize.minimize(
    lambda l: float(expected(jnp.asarray(l))), np.zeros(4),
    jac=lambda l: np.asarray(slope(jnp.asarray(l)), np.float64),
  )  # fmt: skip
  np.testing.assert_allclose(expit(found.x), p / (p + (wrong + q) / 2), atol=2e-3)


def test_texts_that_are_right_by_accident_have_no_part_in_the_loss():
  l = jnp.asarray(REAL)
  value = lambda wrong: adversarial.matching_critic(l, wrong, l, jnp.array([True] + 3 * [False]))
  by_wrong = jax.jacobian(value)(jnp.asarray(FAKE))
  np.testing.assert_allclose(by_wrong, np.diag([expit(FAKE[0]) / 2, 0, 0, 0]), atol=1e-6)


# |f'(0)|, by which the players turn about each other where neither sees a difference.
SLOPES = {"mm": 0.5, "ns": 0.5, "rp": 0.5, "wgan": 1.0, "hinge": 1.0}


@pytest.mark.parametrize("name, slope", SLOPES.items())
@pytest.mark.parametrize("weights", [{}, {"r1": 0.3}, {"r1": 0.3, "r2": 0.7}, {"r2": 3.0}])
def test_the_dirac_gan_turns_without_penalties_and_settles_with_them(name, slope, weights):
  """D(x) = psi x, data at 0, fakes at theta (Mescheder et al. 2018, lemma 2.3 and theorem 4.1): at
  the equilibrium the field's eigenvalues are -g/2 +- sqrt(g^2/4 - slope^2), g the penalties' sum,
  and slope that of the loss at 0."""

  def field(point):
    psi, theta = point
    real, critic = jnp.zeros((1, 1)), lambda psi: lambda x: psi * x[:, 0]

    def of_critic(psi):
      fake = jnp.full((1, 1), theta)
      penalty, _ = penalise(Penalties(**weights), critic(psi), jax.random.key(0), real, fake)
      return (LOSSES[name].critic(critic(psi)(real), critic(psi)(fake)) + penalty).sum()

    def of_generator(theta):
      fake = theta * jnp.ones((1, 1))
      return LOSSES[name].generator(critic(psi)(real), critic(psi)(fake)).sum()

    return -jnp.stack([jax.grad(of_critic)(psi), jax.grad(of_generator)(theta)])

  found = np.linalg.eigvals(np.asarray(jax.jacobian(field)(jnp.zeros(2)), np.float64))
  g = sum(weights.values())
  root = np.sqrt(complex(g**2 / 4 - slope**2))
  expected = np.array([-g / 2 + root, -g / 2 - root])
  np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-5)
  assert (found.real.max() < -1e-3) == bool(weights)


@pytest.mark.parametrize("shift", [-3.0, 0.5])
def test_the_relativistic_players_have_one_loss_with_their_examples_exchanged(shift):
  real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
  rp = LOSSES["rp"]
  np.testing.assert_allclose(rp.critic(real, fake), rp.generator(fake, real), rtol=1e-6)
  np.testing.assert_allclose(
    rp.critic(real + shift, fake + shift), rp.critic(real, fake), rtol=1e-5
  )
