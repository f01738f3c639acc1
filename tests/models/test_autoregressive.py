"""What all autoregressive models share: likelihoods against all images there are, the sampler
against the likelihood, and each step of it against a whole pass of the network."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import pixelcnn, transformer
from gen_jax.models.autoregressive import Sampler, drawn, in_blocks
from gen_jax.nets.pixelcnn import PixelCNN
from gen_jax.nets.transformer import Transformer
from gen_jax.run.mesh import make_mesh, split_over

BUILDERS = {
  "pixelcnn": (pixelcnn.build, dict(width=3, dilations=(1,), first_kernel=3, head=4)),
  "transformer": (transformer.build, dict(width=4, layers=1, heads=2)),
}
every_builder = pytest.mark.parametrize("name", BUILDERS)


def build(name, spec, **how):
  builder, small = BUILDERS[name]
  return builder(spec, **({"dtype": "float64", "ema": 0.0} | small | how))


def random_tree(shapes, scale=1.5):
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: jnp.asarray(rng.normal(0, scale, p.shape), p.dtype), shapes)


def random_state(model, spec):
  """A state with random parameters, without training."""
  batch = {"x": jnp.zeros((2, *spec.shape), jnp.uint8), "label": jnp.zeros(2, jnp.int32)}
  return [random_tree(jax.eval_shape(model.init, jax.random.key(0), batch))]


def every_image(spec):
  grid = np.indices((spec.levels,) * int(np.prod(spec.shape))).reshape(int(np.prod(spec.shape)), -1)
  return jnp.asarray(grid.T.reshape(-1, *spec.shape), jnp.uint8)


CASES = {
  "pixelcnn": ("pixelcnn", Spec.of((2, 2, 1), 3, 2), {}),
  "pixelcnn, channels in another order": (
    "pixelcnn",
    Spec.of((1, 2, 3), 2, 2),
    {"embed": True, "channel_order": (2, 0, 1)},
  ),
  "transformer": ("transformer", Spec.of((2, 2, 1), 3, 2), {}),
  "transformer, sequences": ("transformer", Spec.of((4,), 3, 2), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_probabilities_of_all_images_sum_to_one_and_samples_follow_them(case):
  name, spec, how = CASES[case]
  with jax.enable_x64(True):
    program = build(name, spec, conditional=True, **how)
    state = random_state(program.stages[0].model, spec)
    x = every_image(spec)
    log_prob = jax.jit(program.model.log_prob)
    probabilities = []
    for label in (0, 1):
      cond = {"label": jnp.full(len(x), label)}
      p = np.exp(np.asarray(log_prob(state, x, None, cond)))
      np.testing.assert_allclose(p.sum(), 1, rtol=1e-10)
      probabilities.append(p)
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.01
    # Half of 20000 samples of each class: counts within 5 standard errors.
    n = 20_000
    keys, labels = fold_each(jax.random.key(5), jnp.arange(n)), jnp.arange(n) % 2
    drawn = np.asarray(jax.jit(program.model.sample)(state, keys, {"label": labels}))
  place = spec.levels ** np.arange(int(np.prod(spec.shape)))[::-1]
  index = drawn.reshape(n, -1) @ place
  for label, p in enumerate(probabilities):
    share = np.bincount(index[label::2], minlength=len(p)) / (n // 2)
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / (n // 2)) + 1e-12).all()


@every_builder
def test_evaluate_is_minus_log_prob_in_nats_and_in_bits_of_a_dimension(name):
  spec = Spec.of((2, 2, 1), 3)
  program = build(name, spec, dtype="float32")
  state = random_state(program.stages[0].model, spec)
  x = every_image(spec)[::10]
  keys = fold_each(jax.random.key(0), jnp.arange(len(x)))
  terms = jax.jit(program.model.evaluate)(state, {"x": x}, keys)
  log_prob = jax.jit(program.model.log_prob)(state, x, keys)
  np.testing.assert_allclose(terms["nll"], -log_prob, rtol=1e-5)
  np.testing.assert_allclose(terms["bits_per_dim"], np.log2(np.exp(terms["nll"])) / 4, rtol=1e-5)


SHAPE, LEVELS, CLASSES = (4, 6), 5, 3
NETS = {
  "pixelcnn, dilated": lambda dtype: PixelCNN(
    LEVELS, 6, width=4, dilations=(1, 2), classes=CLASSES, dtype=dtype
  ),
  "pixelcnn, three channels, wide kernels": lambda dtype: PixelCNN(
    LEVELS, 6, channels=3, width=4, dilations=(1,), kernel=5, first_kernel=7, dtype=dtype
  ),
  "pixelcnn, embedded": lambda dtype: PixelCNN(
    LEVELS, 6, embed=True, width=4, dilations=(1,), first_kernel=3, classes=CLASSES, dtype=dtype
  ),
  "transformer, labels": lambda dtype: Transformer(LEVELS, 24, 8, 2, 2, 0.5, CLASSES, dtype),
  "transformer": lambda dtype: Transformer(LEVELS, 24, 8, 1, 4, dtype=dtype),
}


def started(net, dtype):
  """The net of that type, random parameters, x [4, ...] and labels."""
  net = NETS[net](dtype)
  shape = SHAPE if isinstance(net, PixelCNN) else (24,)
  x = jnp.asarray(np.random.default_rng(1).integers(0, LEVELS, (4, *shape)))
  label = jnp.array([0, 1, 2, 2]) if net.classes else None
  params = random_tree(jax.eval_shape(net.init, jax.random.key(0), x, label), 0.5)
  return net, params, x, label


@pytest.mark.parametrize("name", NETS)
def test_logits_of_each_step_are_those_of_a_whole_pass(name):
  net, params, x, label = started(name, jnp.float32)
  whole = jax.jit(lambda x: net.apply(params, x, label))(x).reshape(4, 24, LEVELS)
  assert np.ptp(whole, axis=1).min() > 0.1  # they differ from place to place

  @jax.jit
  def steps(x):
    def one(cache, i):
      logits, cache = net.apply(params, cache, i, x[:, i - 1], label, method="step")
      return cache, logits

    cache, found = net.apply(params, len(x), method="start"), []
    for begin, end in ((0, 10), (10, 24)):
      if isinstance(net, Transformer):
        cache = net.apply(params, cache, end, method="grow")
      cache, logits = jax.lax.scan(one, cache, jnp.arange(begin, end))
      found.append(logits)
    return jnp.concatenate(found)

  cached = steps(x.reshape(4, 24)).swapaxes(0, 1)
  assert cached.dtype == jnp.float32
  np.testing.assert_allclose(cached, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [Sampler(), Sampler(temperature=0.7, top_k=3)])
@every_builder
def test_samples_in_float64_are_those_of_a_whole_pass_for_each_position(name, options, monkeypatch):
  """The transformer's with memories that grow, of three samples at a time."""
  monkeypatch.setattr(transformer, "fitting", lambda memory: 3)
  net, shape = {
    "pixelcnn": (PixelCNN(5, 4, False, 1, 4, 3, (1,), 3, 3, 0.0, 3, jnp.float64), (3, 4)),
    "transformer": (Transformer(5, 70, 4, 1, 2, 0.0, 3, jnp.float64), (70,)),
  }[name]
  n, dims = 16, math.prod(shape)
  spec = Spec.of((dims // 2, 2, 1) if name == "transformer" else (3, 4, 1), 5, 3)
  with jax.enable_x64(True):
    program = build(name, spec, conditional=True, sample=options)
    state = random_state(program.stages[0].model, spec)
    keys, label = fold_each(jax.random.key(1), jnp.arange(n)), jnp.arange(n) % 3
    draw = jax.jit(program.model.sample)
    got = draw(state, keys, {"label": label})
    np.testing.assert_array_equal(draw(state, keys, {"label": label}), got)  # keys stay unused
    params = {"params": state[0]["params"][name]}
    whole = jax.jit(lambda x: net.apply(params, x.reshape(n, *shape), label).reshape(n, dims, 5))
    x = jnp.zeros((n, dims), jnp.int32)
    for i in range(dims):
      x = x.at[:, i].set(drawn(keys, i, whole(x)[:, i], options))
  np.testing.assert_array_equal(got.reshape(n, dims), x)
  assert len(np.unique(x, axis=0)) > n // 2


def test_blocks_give_what_all_at_once_do():
  f = lambda x, tree: x[:, None] + tree["y"]
  x, y = np.arange(10), np.arange(20).reshape(10, 2)
  for most in (1, 3, 4, 9, 10, 11):
    np.testing.assert_array_equal(in_blocks(f, most)(x, {"y": y, "none": None}), x[:, None] + y)


def test_blocks_leave_examples_on_their_devices():
  mesh = make_mesh()
  x = jax.device_put(np.arange(8.0 * mesh.size), split_over(mesh, 0))
  got = jax.jit(in_blocks(lambda x: x[:, None], 2 * mesh.size))(x)
  assert mesh.size > 1 and got.sharding.is_equivalent_to(split_over(mesh, 0), 2)
  np.testing.assert_array_equal(got[:, 0], x)


def test_a_block_is_as_large_as_a_cache_or_all_at_once():
  sizes = {1: 2**22, 2**16: 64, 2**20: 4, 2**22: 4, 2**22 + 1: 0, 2**30: 0}
  assert {memory: transformer.fitting(memory) for memory in sizes} == sizes


def test_sampling_options():
  keys = fold_each(jax.random.key(0), jnp.arange(9000))
  logits = jnp.broadcast_to(jnp.log(jnp.array([0.5, 0.1, 0.4])), (9000, 3))

  def shares(**options):
    levels = jax.jit(lambda: drawn(keys, 3, logits, Sampler(**options)))()
    return np.bincount(levels, minlength=3) / 9000

  np.testing.assert_allclose(shares(), [0.5, 0.1, 0.4], atol=0.03)
  sharp = np.array([0.25, 0.01, 0.16])
  np.testing.assert_allclose(shares(temperature=0.5), sharp / sharp.sum(), atol=0.03)
  np.testing.assert_allclose(shares(top_k=2), [5 / 9, 0, 4 / 9], atol=0.03)
  assert shares(temperature=0.0)[0] == 1


@every_builder
def test_it_learns_what_follows_what(name):
  """Rows of a cycle 0, 1, 2, 0, ... from any level on: log 3 nats and nothing more."""
  spec, x = Spec.of((1, 6, 1), 3), (np.arange(63)[:, None] + np.arange(6)) % 3
  batch = {"x": jnp.asarray(x.reshape(63, 1, 6, 1), jnp.uint8)}
  wide = {"width": 8, "dtype": "float32", "optimizer": Optimizer(learning_rate=2e-2)}
  model = build(name, spec, **wide).stages[0].model
  state, update = jax.jit(model.init)(jax.random.key(0), batch), jax.jit(model.update)
  stacked = jax.tree.map(lambda a: a[None], batch)
  first = update(state, stacked, jax.random.key(1), jnp.int32(0))[1]["loss"]
  np.testing.assert_allclose(first, 6 * np.log(3), rtol=1e-5)  # uniform
  for step in range(250):
    key = jax.random.fold_in(jax.random.key(1), step)
    state, metrics = update(state, stacked, key, jnp.int32(step))
  assert np.log(3) - 1e-4 < metrics["loss"] < np.log(3) + 0.1
  keys = fold_each(jax.random.key(2), jnp.arange(64))
  drawn = np.asarray(jax.jit(model.sample)(state, keys))[:, 0, :, 0]
  assert (drawn == (drawn[:, :1] + np.arange(6)) % 3).all(1).mean() > 0.9


@pytest.mark.parametrize("change,message", [
  (dict(spec=Spec.of((4, 4, 1))), "integer"),
  (dict(conditional=True), "needs labels, and these data have none"),
  (dict(dropout=1.0), r"model.dropout must be in \[0, 1\), not 1.0"),
  (dict(ema=1.0), r"model.ema must be in \[0, 1\)"),
  (dict(sample=Sampler(top_k=4)), "top_k"),
  (dict(sample=Sampler(temperature=-1.0)), "sample.temperature must be 0 or more"),
])  # fmt: skip
@every_builder
def test_what_all_refuse(name, change, message):
  with pytest.raises(UserError, match=message):
    build(name, **{"spec": Spec.of((4, 4, 1), 3), "dtype": "float32", **change})
