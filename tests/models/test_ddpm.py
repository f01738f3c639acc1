"""DDPM around a network of three layers, which compiles fast: what its functions owe each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.diffusion import schedule
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import ddpm
from gen_jax.models.ddpm import Likelihood, Sampler

SPEC = Spec.of((8, 8, 1), levels=17, classes=10)
SIZE = dict(timesteps=10, schedule="cosine", width=8, multipliers=(1,), blocks=1, attention=())
B, HIDDEN = 6, 10  # HIDDEN is the embedding's entry for "no label"


class Pixelwise(nn.Module):
  """What a UNet takes and gives, without looking beyond a pixel."""

  channels: int
  width: int
  classes: int
  text: None
  dtype: jnp.dtype
  multipliers: tuple
  blocks: int
  attention: tuple
  heads: int
  dropout: float
  remat: bool

  @nn.compact
  def __call__(self, x, t, label=None, train=False):
    h = nn.Dense(self.width)(t[:, None] / 10.0)
    if self.classes:
      label = jnp.full(t.shape, self.classes) if label is None else label
      h = h + nn.Embed(self.classes + 1, self.width)(label)
    return nn.Dense(self.channels)(nn.tanh(nn.Dense(self.width)(x) + h[:, None, None]))


@pytest.fixture(autouse=True, scope="module")
def small_network():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(ddpm, "UNet", Pixelwise)
    yield


def model_of(**kwargs):
  options = {**SIZE, "prediction": "v", "condition": "label", "ema": 0.0, **kwargs}
  return ddpm.build(SPEC, **options).stages[0].model


def batch(label=None):
  x = np.random.default_rng(1).integers(0, 17, (B, 8, 8, 1), np.uint8)
  return {"x": jnp.asarray(x), "label": jnp.arange(B) if label is None else jnp.full(B, label)}


@pytest.fixture(scope="module")
def state():
  """A state whose parameters are all in use: at initialisation the network is zero."""
  shapes = jax.eval_shape(model_of().init, jax.random.key(0), batch())
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: (0.5 * rng.normal(size=p.shape)).astype(p.dtype), shapes)


def keys(seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(B))


def test_the_bound_adds_up_and_is_the_log_probability(state, monkeypatch):
  # Noise that leaves much to the prior, so that L_T is large; a user's is refused.
  half = schedule.from_betas(np.linspace(1e-4, 0.02, 10))
  monkeypatch.setattr(schedule, "make", lambda name, steps: half)
  model = model_of()

  @jax.jit
  def both(state, batch, keys):
    terms = model.evaluate(state, batch, keys)
    return terms, model.log_prob(state, batch["x"], keys, {"label": batch["label"]})

  terms, log_prob = both(state, batch(), keys())
  assert set(terms) == {"bits_per_dim", "L_T", "L_t", "L_0", "simple_loss"}
  assert all(value.shape == (B,) for value in terms.values())
  parts = terms["L_T"] + terms["L_t"] + terms["L_0"]
  np.testing.assert_allclose(terms["bits_per_dim"], parts, rtol=1e-5)
  np.testing.assert_allclose(-log_prob / (64 * np.log(2)), terms["bits_per_dim"], rtol=1e-5)
  assert (terms["L_T"] > 0.1).all() and len(set(parts.tolist())) == B

  others, _ = both(state, batch(label=HIDDEN), keys())
  assert (np.abs(others["L_t"] - terms["L_t"]) > 1e-3).all()
  np.testing.assert_array_equal(others["L_T"], terms["L_T"])  # the prior sees no network
  again, _ = both(state, batch(), keys(1))
  assert (again["bits_per_dim"] != terms["bits_per_dim"]).all()


def test_the_bound_teaches_the_variance_and_nothing_else():
  sgd = Optimizer(name="sgd", learning_rate=1.0)

  def moved(**options):
    model = model_of(learned_variance=True, optimizer=sgd, **options)
    state = model.init(jax.random.key(0), batch())
    one = jax.tree.map(lambda a: a[None], batch())
    after = jax.jit(model.update)(state, one, jax.random.key(3), 0)[0]
    kernel = lambda s: s["params"]["unet"]["Dense_1"]["kernel"]
    return np.asarray(kernel(after) - kernel(state))

  without, with_bound = moved(vlb_weight=0.0), moved()
  np.testing.assert_allclose(with_bound[:, 0], without[:, 0], rtol=1e-5, atol=1e-7)
  assert (without[:, 1] == 0).all() and (with_bound[:, 1] != 0).all()


@pytest.fixture(scope="module")
def draw(state):
  """(guidance, label) -> samples, of ten-step DDIM."""
  compiled = {}

  def get(guidance, cond, seed=0):
    which = guidance, cond is None
    if which not in compiled:
      options = Sampler(method="ddim", guidance=guidance)
      compiled[which] = jax.jit(model_of(sample=options).sample)
    cond = None if cond is None else {"label": jnp.broadcast_to(jnp.asarray(cond), (B,))}
    return np.asarray(compiled[which](state, keys(seed), cond))

  return get


def test_samples_are_grey_levels(draw):
  x = draw(0.0, np.arange(B))
  assert x.shape == (B, 8, 8, 1) and x.dtype == np.uint8
  assert x.max() <= 16 and len(np.unique(x)) > 5
  assert not np.array_equal(draw(0.0, np.arange(B), seed=1), x)


def close(a, b):
  """Equal but for pixels on the edge between two levels, which rounding may send either way."""
  return np.abs(a.astype(int) - b.astype(int)).max() <= 1 and (a != b).mean() < 0.01


def test_guidance_is_an_extrapolation_from_the_unconditional_model(draw):
  plain, guided = draw(0.0, np.arange(B)), draw(3.0, np.arange(B))
  assert not close(plain, guided)
  # With "no label" for a label the two models are one, and any w of (1 + w) eps - w eps is eps.
  nothing = draw(0.0, HIDDEN)
  assert close(draw(3.0, HIDDEN), nothing)
  assert not close(plain, nothing)


def test_without_conditions_no_label_is_used(draw):
  assert close(draw(0.0, None), draw(0.0, HIDDEN))


def test_labels_are_hidden_in_training_as_often_as_is_said(state):
  def losses(share):
    """Of the labels 0, 1 and "no label"; the loss alone, so that XLA compiles no gradient."""
    model = model_of(condition_dropout=share, dropout=0.0)
    loss = jax.jit(lambda batch: model.update(state, batch, jax.random.key(0), 0)[1]["loss"])
    return [float(loss(jax.tree.map(lambda a: a[None], batch(i)))) for i in (0, 1, HIDDEN)]

  shown, hidden = losses(0.0), losses(1.0)
  assert len(set(shown)) == 3
  np.testing.assert_allclose(hidden, shown[2], rtol=1e-6)
  assert abs(shown[0] - shown[2]) > 1e-4


def test_unconditional_models_have_no_label_to_learn_from():
  model = model_of(condition="none")
  assert model.cond == () and model_of().cond == ("label",)

  def size(model):
    params = jax.eval_shape(model.init, jax.random.key(0), batch())["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))

  assert size(model_of()) - size(model) == (10 + 1) * 8


def test_the_paths_that_samples_take_have_forty_frames_at_most():
  def frames(**kwargs):
    model = model_of(**kwargs)
    state = jax.eval_shape(model.init, jax.random.key(0), batch())
    return jax.eval_shape(model.trajectory, state, keys(), {"label": jnp.arange(B)})

  few, many = frames(), frames(timesteps=100)
  assert few.shape == (11, B, 8, 8, 1) and few.dtype == jnp.uint8
  assert many.shape == (41, B, 8, 8, 1)


@pytest.mark.parametrize(
  "change,message",
  [
    (dict(spec=Spec.of((2,), levels=None)), "not data of shape \\(2,\\)"),
    (dict(spec=Spec.of((8, 8, 1), levels=None)), "integer grey levels"),
    (dict(spec=SPEC._replace(fields={})), "needs labels"),
    (dict(multipliers=(1, 1, 1, 1, 1)), "multiples of 16, not 8x8"),
    (dict(spec=Spec.of((8, 6, 1), 17, 10), multipliers=(1, 1, 1)), "multiples of 4, not 8x6"),
    (dict(condition_dropout=1.5), "model.condition_dropout must be in \\[0, 1\\], not 1.5"),
    (dict(condition_dropout=-0.1), "model.condition_dropout must be in \\[0, 1\\]"),
    (dict(likelihood=Likelihood(times=10)), "0 \\(all\\) or between 1 and 9, not 10"),
    (dict(sample=Sampler(variance="learned")), "sample.variance=learned needs model.learned"),
    (dict(likelihood=Likelihood(variance="learned")), "likelihood.variance=learned needs model"),
    (dict(likelihood=Likelihood(first=10)), "decoder\\) or between 1 and 9, not 10"),
    (dict(likelihood=Likelihood(shares=(1.0,) * 17)), "shares are of the decoder that likeli"),
    (dict(likelihood=Likelihood(first=3, shares=(1.0, 2.0))), "17 numbers, one for each grey"),
    (dict(likelihood=Likelihood(first=3, shares=(0.0,) * 17)), "and not all 0"),
    (dict(likelihood=Likelihood(times=8, first=3)), "between 1 and 7, not 8"),
    (dict(likelihood=Likelihood(times=5, steps=5)), "between 1 and 4, not 5"),
    (dict(likelihood=Likelihood(steps=11)), "likelihood.steps must be 0 \\(all\\) or 1 to 10"),
    (dict(likelihood=Likelihood(steps=1)), "0 \\(all\\) or 2 or more"),
    (dict(likelihood=Likelihood(times=-1)), "likelihood.times must be 0 or more, not -1"),
    (dict(heads=3), "heads=3 must divide the channels, multiples of 8"),
    (dict(heads=0), "model.heads must be 1 or more, not 0"),
    (dict(sample=Sampler(steps=11)), "1 to 10, the timesteps"),
    (dict(timesteps=1), "model.timesteps must be 2 or more"),
    (dict(sample=Sampler(method="euler")), "sample.method must be one of ancestral, ddim"),
    (dict(multipliers=()), "model.multipliers must have 1 or more entries"),
    (dict(ema=1.0), "model.ema must be in \\[0, 1\\), not 1.0"),
  ],
)
def test_refusals(change, message):
  arguments = {**SIZE, "condition": "label", **change}
  with pytest.raises(UserError, match=message):
    ddpm.build(arguments.pop("spec", SPEC), **arguments)


def test_what_the_refusals_leave_is_served():
  ddpm.build(SPEC, **{**SIZE, "multipliers": (1, 1, 1, 1)}, heads=8, condition_dropout=1.0)
  ddpm.build(SPEC._replace(fields={}), **SIZE, likelihood=Likelihood(times=9))
