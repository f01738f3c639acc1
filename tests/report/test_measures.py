"""Measures of a fake model whose samples are known: what it is told to give, it gives."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Model, Spec, UserError, permutation
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from gen_jax.report.judge import Judge, judge_of
from tests.report import made
from tests.run import toy

K, N = 3, 40
SPEC = Spec.of((2,), None, K)
CENTRES = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])


def points(seed):
  """Three clusters, labels 0, 1, 2 in turn."""
  label = np.arange(N, dtype=np.int32) % K
  x = CENTRES[label] + np.random.default_rng(seed).normal(size=(N, 2))
  return {"x": x.astype(np.float32), "label": label}


TRAIN, TEST = points(0), points(1)
ORDER = permutation(N)  # in which training examples are conditions
# Samples are the `twin` of the training example that they are conditioned on.
MODEL = Model(
  init=None,
  update=None,
  evaluate=lambda states, batch, keys: {
    "square": jnp.sum(batch["x"] ** 2, axis=-1),
    "label": batch["label"].astype(jnp.float32),
  },  # fmt: skip
  sample=lambda states, keys, cond: cond["twin"],
  cond=("label", "twin"),
)


def predict(x):
  """A classifier that errs at the upper edge of every cluster."""
  nearest = ((x[:, None] - CENTRES) ** 2).sum(-1).argmin(1)
  high = (x - CENTRES[nearest])[:, 1] > 0.5
  return np.where(high, (nearest + 1) % K, nearest)


class Judges:
  """A train_judge that notes what it was asked for."""

  def __init__(self):
    self.asked = []

  def __call__(self, source, name):
    self.asked.append((name, source))
    test = source.splits["test"].arrays()
    return Judge(predict, lambda x: x, float((predict(test["x"]) == test["label"]).mean()))


def scene(mesh, twin, model=MODEL, judges=None, **settings):
  """What measures see of a run whose samples are `twin`, one for each training example."""
  train = ArraySplit({**TRAIN, "twin": twin.astype(np.float32)})
  source = Source("clusters", SPEC, {"train": train, "test": ArraySplit(TEST)})
  parsed = toy.experiment(evaluate={"samples": N, "batch_size": 16, "neighbours": 3, **settings})
  return made.scene(model, source, parsed, judges or Judges(), mesh=mesh)


def values(records):
  return {name: record["value"] for name, record in records.items()}


def test_likelihood_averages_over_every_example_once(mesh):
  records = measures.take(("likelihood",), scene(mesh, TRAIN["x"]))
  square = (TEST["x"].astype(np.float64) ** 2).sum(axis=1)
  assert values(records) == pytest.approx({"square": square.mean(), "label": TEST["label"].mean()})
  assert records["square"]["standard_error"] == pytest.approx(square.std() / N**0.5)
  assert (records["square"]["examples"], records["square"]["split"]) == (N, "test")


def test_copies_of_training_data(mesh):
  judges = Judges()
  names = ("memorisation", "sample_accuracy", "frechet", "prdc")
  seen = scene(mesh, TRAIN["x"], judges=judges)
  records = measures.take(names, seen)
  assert records["nearest_train_ratio"]["value"] == 0
  right = (predict(TRAIN["x"]) == TRAIN["label"]).mean()
  assert 0.3 < right < 0.9
  assert records["sample_accuracy"]["value"] == pytest.approx(right)
  frechet = records["frechet_distance"]
  assert frechet["value"] == pytest.approx(frechet["of_training_data"]) and frechet["value"] > 0
  accuracy = (predict(TEST["x"]) == TEST["label"]).mean()
  assert records["extractor_accuracy"]["value"] == pytest.approx(accuracy)
  assert frechet["extractor_accuracy"] == pytest.approx(accuracy, abs=1e-4)
  assert len(judges.asked) == 1  # one classifier serves them all
  for record in records.values():
    assert {"value", "examples", "split"} <= record.keys() and record["examples"] == N
  assert json.loads(json.dumps(records)) == records


def test_moved_copies_of_the_split_are_as_far_as_they_were_moved(mesh):
  records = measures.take(("frechet",), scene(mesh, TEST["x"] + [3.0, 4.0]))
  assert records["frechet_distance"]["value"] == pytest.approx(25, rel=1e-4)


@pytest.mark.parametrize("move,value", [(0.0, 1.0), (1000.0, 0.0)])
def test_precision_and_recall_of_the_split_itself_and_of_what_is_far_from_it(mesh, move, value):
  found = values(measures.take(("prdc",), scene(mesh, TEST["x"] + move)))
  assert {name: found[name] for name in ("precision", "recall", "coverage")} == {
    "precision": value, "recall": value, "coverage": value,
  }  # fmt: skip


def test_a_classifier_trained_on_samples_sees_them_and_the_split_only(mesh):
  judges = Judges()
  records = measures.take(("trained_on_samples",), scene(mesh, TEST["x"] + 1, judges=judges))
  given = {name: source.splits for name, source in judges.asked}
  samples = given["samples"]["train"].arrays()
  np.testing.assert_allclose(samples["x"], TEST["x"][ORDER] + 1, rtol=1e-6)
  np.testing.assert_array_equal(samples["label"], TRAIN["label"][ORDER])
  np.testing.assert_array_equal(given["samples"]["test"].arrays()["x"], TEST["x"])
  np.testing.assert_array_equal(given["real"]["train"].arrays()["x"], TRAIN["x"])
  record = records["trained_on_samples_accuracy"]
  assert record["value"] == (predict(TEST["x"]) == TEST["label"]).mean()
  assert (record["examples"], record["training_samples"]) == (N, N)


def encoding(encode):
  return MODEL._replace(encode=lambda states, x, keys, cond: encode(x))


def test_use_of_codes(mesh):
  # Two codes an example: one of eight alike, and a constant.
  index = np.arange(N) % 8
  encode = lambda x: jnp.stack([jnp.round(x[:, 0]).astype(jnp.int32), jnp.full(len(x), 99)], 1)
  seen = scene(mesh, TRAIN["x"], encoding(encode))
  seen.source.splits["test"] = ArraySplit({**TEST, "x": np.stack([index, index], 1) * 1.0})
  found = values(measures.take(("code_use",), seen))
  entropy = 0.5 * np.log(16) + 0.5 * np.log(2)
  assert found == pytest.approx(
    {"codes_used": 9, "unigram_entropy": entropy, "perplexity": np.exp(entropy)}
  )
  missing = measures.take(("code_use",), scene(mesh, TRAIN["x"], encoding(lambda x: x)))
  assert values(missing) == dict.fromkeys(found)
  assert all("discrete codes" in record["why"] for record in missing.values())


def test_samples_are_those_of_their_conditions_whatever_their_number(mesh):
  few, many = (scene(mesh, TRAIN["x"], samples=n).samples for n in (10, 2 * N + 5))
  np.testing.assert_array_equal(few["x"], TRAIN["x"][ORDER[:10]])
  rows = np.concatenate([ORDER, ORDER, ORDER[:5]])
  np.testing.assert_array_equal(many["x"], TRAIN["x"][rows])
  np.testing.assert_array_equal(many["label"], TRAIN["label"][rows])


def test_an_unknown_split_is_refused():
  with pytest.raises(
    UserError, match="evaluate.split='tset' is no split of clusters; did you .*te"
  ):
    check(("likelihood",), MODEL, SOURCE, "tset")


def check(names, model, source, split="test"):
  settings = made.settings(split=split)
  settings.config["measures"] = names
  measures.check(made.trained(model, source, settings).system)


SOURCE = Source("clusters", SPEC, {"train": ArraySplit(TRAIN), "test": ArraySplit(TEST)})


@pytest.mark.parametrize(
  "name,model,spec,message",
  [
    ("fid", {}, {}, "no measure 'fid'; one of "),
    ("likelyhood", {}, {}, "no measure 'likelyhood'; did you mean likelihood?"),
    ("memorisation", {"sample": None}, {}, "needs a model with sample, and this has none"),
    ("prdc", {"sample": None}, {}, "prdc needs a model with sample"),
    ("sample_accuracy", {"cond": ()}, {}, "needs a model conditioned on label"),
    ("trained_on_samples", {"cond": ("twin",)}, {}, "needs a model conditioned on label"),
    ("frechet", {}, {"fields": {}}, "needs data with labels, and clusters has none"),
    ("sample_accuracy", {}, {"fields": {}}, "needs data with labels"),
  ],
)
def test_what_cannot_be_measured_is_refused_beforehand(name, model, spec, message):
  source = SOURCE._replace(spec=SPEC._replace(**spec))
  with pytest.raises(UserError, match=message):
    check(("likelihood", name), MODEL._replace(**model), source)


def test_a_classifier_needs_a_test_split():
  source = SOURCE._replace(splits={"train": SOURCE.splits["train"]})
  with pytest.raises(UserError, match="frechet needs a test split"):
    check(("frechet",), MODEL, source, "train")


def test_what_can_be_measured_is_not():
  everything = ("likelihood", "frechet", "prdc", "sample_accuracy", "trained_on_samples")
  check((*everything, "memorisation", "class_shares"), MODEL, SOURCE)
  check((), MODEL._replace(sample=None), SOURCE)


@pytest.mark.parametrize("size", [1, 7, N, 100])
def test_judges_read_every_example_in_chunks_of_one_size(size):
  seen = []

  def logits(state, x):
    seen.append(x.shape)
    return -((x[:, None] - state) ** 2).sum(-1)

  model = MODEL._replace(predict=logits, encode=lambda state, x, keys, cond: x * 2)
  judge = judge_of(model, jnp.asarray(CENTRES), TEST, size)
  nearest = ((TEST["x"][:, None] - CENTRES) ** 2).sum(-1).argmin(1)
  np.testing.assert_array_equal(judge.predict(TEST["x"]), nearest)
  np.testing.assert_array_equal(judge.features(TEST["x"]), TEST["x"] * 2)
  assert judge.accuracy == pytest.approx((nearest == TEST["label"]).mean())
  assert seen == [(size, 2)]  # traced once
