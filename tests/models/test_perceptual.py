"""An autoencoder that learns from features: whose they are, that they stay, and what is refused."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from gen_jax import config as configs
from gen_jax.core import Spec, UserError, unit
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import perceptual as losses
from gen_jax.models import ae, classifier
from gen_jax.models.perceptual import Perceptual, extractor
from gen_jax.nets import vgg
from gen_jax.nets.classifier import Classifier, layers
from gen_jax.run.door import train_on_arrays

SPEC = Spec.of((8, 8, 1), 17, 10)
RNG = np.random.default_rng(0)
BATCH = {
  "x": RNG.integers(0, 17, size=(6, 8, 8, 1)).astype(np.uint8),
  "label": RNG.integers(0, 10, size=6).astype(np.int32),
}
OPTIONS = dict(width=3, hidden=5)


def built(features, **options):
  how = dict(latent=2, hidden=(6,), optimizer=Optimizer(learning_rate=0.01))
  return ae.build(SPEC, perceptual=Perceptual(features=features, **OPTIONS, **options), **how)


def stepped(model, state, steps):
  micro = jax.tree.map(lambda v: v[None], BATCH)
  update = jax.jit(model.update)
  for step in range(steps):
    state, metrics = update(state, micro, jax.random.fold_in(jax.random.key(1), step), step)
  return state, metrics


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_layers_end_in_what_the_logits_are_made_of():
  net, x = Classifier(4, width=3, features=5), jnp.asarray(RNG.normal(size=(2, 8, 8, 1)))
  params = net.init(jax.random.key(0), x)["params"]
  found = layers(net, params, x)
  assert [each.shape for each in found] == [(2, 8, 8, 3), (2, 8, 8, 3), (2, 5)]
  np.testing.assert_array_equal(found[-1], net.apply({"params": params}, x)[1])


def test_the_loss_is_that_of_the_classifiers_features_of_its_own_inputs():
  """x in [-1, 1], as the classifier was trained."""
  net = extractor(SPEC, Perceptual(features="classifier", style=1.0, **OPTIONS), "float32")
  model = net.learn.model
  state = model.init(jax.random.key(0), BATCH)
  other = jnp.asarray(BATCH["x"][::-1])
  y, x = (unit(v, 17) for v in (other, BATCH["x"]))
  terms = net.terms(state["params"]["classifier"], y, x)
  # The last layer is what the classifier's `encode` gives; take its share away and maps remain.
  averaged = {**state, "ema": {}}
  last = [model.encode(averaged, v, None, None) for v in (other, BATCH["x"])]
  own = Classifier(10, 3, 5)
  maps = [layers(own, state["params"]["classifier"], 2 * v - 1)[:-1] for v in (y, x)]
  want = losses.feature_error(*last) + losses.feature_errors(*maps)
  np.testing.assert_allclose(terms["feature_error"], want, rtol=1e-4)
  np.testing.assert_allclose(terms["style_error"], losses.style_errors(*maps), rtol=1e-4)


def test_the_net_is_the_first_stages_average_and_stays():
  first, second = built("classifier").stages
  learnt, _ = stepped(first.model, jax.jit(first.model.init)(jax.random.key(0), BATCH), 3)
  fresh = second.model.init(jax.random.key(2), BATCH)
  state = second.carry([learnt], fresh)
  phi = learnt["ema"]["classifier"]
  equal(state["mutable"]["ae"]["phi"], phi)
  assert second.release == (0,)  # it is kept once
  after, metrics = stepped(second.model, state, 4)
  equal(after["mutable"]["ae"]["phi"], phi)
  assert jax.tree.structure(after["opt"]) == jax.tree.structure(fresh["opt"])
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), after["params"], state["params"])
  assert all(jax.tree.leaves(moved))
  assert {"feature_error", "squared_error"} <= metrics.keys()
  assert float(metrics["feature_error"]) < float(metrics["squared_error"])


@pytest.mark.parametrize("features", ["classifier", "random"])
def test_learning_lowers_the_error_in_features(features):
  model = built(features).stages[-1].model
  state = jax.jit(model.init)(jax.random.key(3), BATCH)
  first = model.evaluate(state, BATCH, None)["feature_error"]
  after, _ = stepped(model, state, 60)
  last = model.evaluate(after, BATCH, None)["feature_error"]
  assert first.shape == (6,) and last.mean() < 0.7 * first.mean()


def test_the_judge_of_the_same_seed_and_shape_is_another_net():
  """Measures train the default classifier with the run's own seed."""
  learnt = built("classifier").stages[0].model
  judge = classifier.build(SPEC, width=3, features=5).stages[0].model
  kernel = lambda model: model.init(jax.random.key(0), BATCH)["params"]["classifier"]["Conv_0"]
  a, b = kernel(learnt)["kernel"], kernel(judge)["kernel"]
  assert a.shape == b.shape and abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.6


def test_a_random_net_needs_no_labels_and_no_stage():
  unlabelled = Spec.of((8, 8, 1), 17)
  program = ae.build(unlabelled, perceptual=Perceptual(features="random", **OPTIONS), latent=2)
  assert len(program.stages) == 1
  state = program.stages[0].model.init(jax.random.key(0), BATCH)
  assert "phi" in state["mutable"]["ae"]


def test_pixels_alone_are_the_squared_error():
  model = built("random", feature=0.0, pixels=1.0).stages[0].model
  plain = ae.build(SPEC, latent=2, hidden=(6,), optimizer=Optimizer(learning_rate=0.01))
  begun = [m.init(jax.random.key(5), BATCH) for m in (model, plain.stages[0].model)]
  equal(begun[0]["params"], begun[1]["params"])
  after = [stepped(m, s, 3)[0] for m, s in zip((model, plain.stages[0].model), begun, strict=True)]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after[0]["params"], after[1]["params"]
  )


@pytest.fixture
def weights(monkeypatch, tmp_path):
  """A narrow VGG in a file: (path, digest, tensors)."""
  monkeypatch.setattr(vgg, "WIDTHS", (2, 2, 3, 3))
  channels, tensors = 3, {}
  for ours, theirs in vgg.names_of("vgg16").items():
    width = vgg.WIDTHS[int(ours[4]) - 1]
    tensors[f"{theirs}.weight"] = RNG.normal(size=(width, channels, 3, 3)).astype(np.float32)
    tensors[f"{theirs}.bias"] = np.zeros(width, np.float32)
    channels = width
  tensors["classifier.0.bias"] = np.zeros(3, np.float32)
  path = tmp_path / "vgg.safetensors"
  save_file(tensors, path)
  return path, hashlib.sha256(path.read_bytes()).hexdigest(), tensors


def test_the_users_vgg_is_read_once_and_stays(weights):
  path, digest, tensors = weights
  arrays = {"x": np.concatenate([BATCH["x"]] * 2)}
  how = Perceptual(features="vgg16", path=str(path), sha256=digest)
  program = ae.build(SPEC, perceptual=how, latent=2, hidden=(6,))
  model, states = train_on_arrays(program, arrays, steps=3, batch_size=8)
  phi = states[0]["mutable"]["ae"]["phi"]
  kernel = tensors["features.10.weight"]
  for o, i in np.ndindex(kernel.shape[:2]):
    np.testing.assert_array_equal(phi["conv3_1"]["kernel"][:, :, i, o], kernel[o, i])
  # A finished run needs the file no more.
  path.unlink()
  again = ae.build(SPEC, perceptual=how, latent=2, hidden=(6,))
  assert again.model.evaluate(states, BATCH, None)["feature_error"].shape == (6,)
  with pytest.raises(UserError, match="there is no such file"):
    train_on_arrays(again, arrays, steps=3, batch_size=8)


def test_another_file_is_refused_in_one_line(weights):
  path, digest, _ = weights

  def begin(sha256):
    how = Perceptual(features="vgg16", path=str(path), sha256=sha256)
    program = ae.build(SPEC, perceptual=how, latent=2, hidden=(6,))
    return program.stages[0].given({"mutable": {"ae": {}}})

  with pytest.raises(UserError, match=f"sha256 is not that of .*, which is {digest}"):
    begin("0" * 64)
  path.write_bytes(b"not safetensors")
  with pytest.raises(UserError, match="cannot be read as safetensors"):
    begin(hashlib.sha256(b"not safetensors").hexdigest())


def test_a_run_is_told_by_the_digest_of_the_file_and_not_its_place():
  def mark(**perceptual):
    config = configs.experiment(
      "gen_jax.models.ae.build", model=dict(perceptual=perceptual), data=dict(name="digits")
    )
    return configs.fingerprint(configs.parse(config).config, [SPEC], {}, [])

  here = mark(features="vgg16", path="a.safetensors", sha256="1")
  assert here == mark(features="vgg16", path="b.safetensors", sha256="1")
  assert here != mark(features="vgg16", path="a.safetensors", sha256="2")


@pytest.mark.parametrize(
  "spec,options,message",
  [
    (Spec.of((8, 8, 1), 17), dict(features="classifier"), "a classifier needs labels"),
    (SPEC, dict(features="random", feature=0.0), "all weights are 0"),
    (SPEC, dict(features="vgg16"), "needs model.perceptual.path=FILE.safetensors"),
    (Spec.of((8, 8, 2), 17), dict(features="vgg19", path="a", sha256="1"), "grey or RGB images"),
    (SPEC, dict(features="vgg"), "model.perceptual.features must be one of"),
    (SPEC, dict(features="random", style=-1.0), "model.perceptual.style must be 0"),
  ],
)
def test_refusals(spec, options, message):
  with pytest.raises(UserError, match=message):
    ae.build(spec, perceptual=Perceptual(**options))
