"""Configs: what is filled in, converted, refused, and what tells two of them apart."""

import copy
import json

import pytest
from ml_collections import ConfigDict

from gen_jax import config as configs
from gen_jax.core import Spec, UserError
from gen_jax.learn.optimizer import Optimizer
from tests.run import toy

DDPM = "gen_jax.models.ddpm.build"
TOY = "tests.run.toy.build"


def config(builder=TOY, data=(), **groups):
  return configs.experiment(builder, data={"name": "digits", **dict(data)}, **groups)


def changed(path, value):
  """A plain config with one field set."""
  plain = configs.as_dict(config(DDPM).to_dict())
  *groups, field = path.split(".")
  place = plain
  for group in groups:
    place = place[group]
  place[field] = value
  return plain


def test_a_config_is_completed_from_the_signatures():
  full = config(DDPM, model={"width": 8}, sample={"steps": 5})
  assert full.model.width == 8 and full.model.timesteps == 1000
  assert full.model.multipliers == (1, 2, 2, 2)
  assert full.model.optimizer.to_dict() == {
    "name": "adam", "learning_rate": 2e-4, "schedule": "constant", "warmup": 5000,
    "decay_steps": 0, "clip": 1.0, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0,
    "other_rate": 0.0, "accumulate": 1,
  }  # fmt: skip
  assert (full.sample.steps, full.sample.method, full.likelihood.times) == (5, "ancestral", 0)
  assert (full.data.name, full.data.batch_size, full.data.test) == ("digits", 128, 0.2)
  assert (full.train.steps, full.evaluate.split, full.seed, full.measures) == (1000, "test", 0, ())
  assert set(full.keys()) == {"builder", "seed", "measures", *configs.GROUPS}
  assert config(TOY).likelihood.to_dict() == {}  # a builder without the option


def test_a_partly_given_dataclass_is_completed_from_the_builder_s_default():
  # Not from Optimizer(): DDPM's warm-up and clipping stay where only the name is given.
  full = config(DDPM, model={"optimizer": {"name": "sgd"}})
  assert configs.parse(full).config["model"]["optimizer"] == configs.as_dict(
    Optimizer("sgd", learning_rate=2e-4, warmup=5000, clip=1.0)
  )


def test_parts_are_typed():
  parsed = configs.parse(config(data={"batch_size": 7, "threads": 2}, train={"steps": [3, 4]}))
  assert parsed.feed == configs.Feed(batch_size=7, threads=2)
  assert parsed.train == configs.Train(steps=(3, 4))
  assert parsed.evaluate == configs.Evaluate()
  assert parsed.data["name"] == "digits" and "batch_size" not in parsed.data


def test_the_builder_gets_what_the_config_says():
  program = configs.build(config(model={"stages": 2, "second": 7}).to_dict(), toy.SPEC)
  assert [stage.steps for stage in program.stages] == [None, 7]


@pytest.mark.parametrize(
  "path,given,found",
  [
    ("model.condition_dropout", 1, 1.0),
    ("model.optimizer.learning_rate", 1, 1.0),
    ("model.multipliers", [1, 2], (1, 2)),
    ("model.optimizer", Optimizer(clip=3.0), configs.as_dict(Optimizer(clip=3.0))),
    ("data.augment", ["flip"], ("flip",)),
    ("train.steps", [10, 20], (10, 20)),
    ("measures", ["likelihood"], ("likelihood",)),
  ],
)
def test_values_are_converted(path, given, found):
  place = configs.parse(changed(path, given)).config
  for name in path.split("."):
    place = place[name]
  assert place == found and type(place) is type(found)


@pytest.mark.parametrize(
  "path,given,message",
  [
    ("model.widht", 3, "config.model.widht does not exist; did you mean width?"),
    ("model.optimizer.learn_rate", 3, "model.optimizer.learn_rate does not .* learning_rate"),
    ("sampler", {}, "config.sampler does not exist; did you mean sample?"),
    (
      "sample.zzz",
      1,
      "config.sample.zzz does not exist; one of method, steps, grid, variance",
    ),
    ("data.name", 3, "config.data.name must be text, not 3"),
    ("model.width", 8.0, "config.model.width must be a whole number, not 8.0"),
    ("model.width", True, "config.model.width must be a whole number, not True"),
    ("model.dropout", "a", "config.model.dropout must be a number, not 'a'"),
    ("model.dropout", False, "config.model.dropout must be a number, not False"),
    ("model.remat", 1, "config.model.remat must be True or False, not 1"),
    ("model.schedule", "cosin", "config.model.schedule must be one of linear, cosine, not 'cosin'"),
    ("model.multipliers", 2, "config.model.multipliers must be a tuple, such as \\(1, 2\\), not 2"),
    ("model.multipliers", (1, "a"), "config.model.multipliers\\[1\\] must be a whole number"),
    ("model.optimizer", 3, "config.model.optimizer must be a group of name, learning_rate"),
    ("train.steps", "ten", "config.train.steps must be int or tuple, not 'ten'"),
    ("model", 3, "config.model must be a group of fields, not 3"),
    ("measures", "likelihood", "config.measures must be a tuple, such as \\('a', 'b'\\)"),
    ("seed", 1.5, "config.seed must be a whole number, not 1.5"),
    ("seed", -1, "config.seed must be 0 or more, not -1"),
    ("builder", "gen_jax.models.ddmp.build", "builder='gen_jax.models.ddmp.build' cannot be impor"),
    ("builder", "gen_jax.models.ddpm.bild", "cannot be imported: .*bild"),
    ("evaluate.samples", 0, "config.evaluate.samples must be 1 or more, not 0"),
    ("train.steps", 0, "config.train.steps must be 1 or more, not 0"),
    ("train.steps", (5, 0), r"config.train.steps\[1\] must be 1 or more"),
    ("train.steps", (), "config.train.steps must have 1 or more entries"),
    ("train.log_every", -1, "config.train.log_every must be 0 or more, not -1"),
    ("train.steps_per_call", 0, "config.train.steps_per_call must be 1 or more, not 0"),
    (
      "train.steps_per_call",
      3,
      "config.train.steps_per_call=3 must divide config.train.steps=1000",
    ),
    ("train.steps_per_call", 20, "steps_per_call=20 must divide config.train.log_every=50"),
    ("train.keep", 0, "config.train.keep must be 1 or more, not 0"),
  ],
)
def test_refusals(path, given, message):
  with pytest.raises(UserError, match=message):
    configs.parse(changed(path, given))


def test_what_has_no_default_is_asked_for():
  with pytest.raises(UserError, match="config.data.name is missing"):
    configs.experiment(TOY)
  with pytest.raises(UserError, match="config.builder is missing"):
    configs.parse({"data": {"name": "digits"}})
  with pytest.raises(UserError, match="config.modle does not exist; did you mean model?"):
    config(modle={})


def test_intervals_of_never_and_tuples_are_served():
  train = {"steps": (10, 20), "steps_per_call": 5, "log_every": 10, "checkpoint_every": 0}
  configs.parse(config(train=train))


@pytest.mark.parametrize("builder", [DDPM, TOY])
def test_json_and_back_is_the_same_config(builder):
  model = {"multipliers": (1, 2), "optimizer": {"clip": 2.0}} if builder == DDPM else {}
  parsed = configs.parse(
    config(
      builder, model=model, data={"augment": ("flip",)}, train={"steps": (4, 6), "log_every": 2},
      measures=("likelihood", "memorisation"), seed=5,
    )
  )  # fmt: skip
  again = configs.parse(json.loads(json.dumps(parsed.config)))
  assert again == parsed
  assert configs.parse(ConfigDict(parsed.config)) == parsed


def test_config_dicts_take_overrides():
  full = config(DDPM)
  full.model.width = 16  # as the command line does
  full.model.multipliers = (1,)
  full.measures = ("likelihood",)
  found = configs.parse(full).config
  assert found["model"]["width"] == 16 and found["model"]["multipliers"] == (1,)
  assert found["measures"] == ("likelihood",)


SPEC, SIZES = Spec.of((8, 8, 1), 17, 10), {"train": 100, "test": 10}


def mark(path=None, value=None, spec=SPEC, sizes=SIZES, digest=""):
  plain = changed(path, value) if path else changed("seed", 0)
  return configs.fingerprint(configs.parse(plain).config, [spec], sizes, [digest])


@pytest.mark.parametrize(
  "path,value",
  [
    ("model.width", 64), ("model.multipliers", (1, 2)), ("model.optimizer.learning_rate", 1e-3),
    ("data.name", "shapes"), ("data.validation", 0.3), ("data.other", "digits"),
    ("data.augment", ("flip",)), ("data.split_seed", 1), ("seed", 1),
    ("builder", "gen_jax.models.classifier.build"),
  ],
)  # fmt: skip
def test_what_a_checkpoint_depends_on_changes_the_fingerprint(path, value):
  if path == "builder":
    plain = configs.parse(config("gen_jax.models.classifier.build")).config
    assert configs.fingerprint(plain, [SPEC], SIZES, [""]) != mark()
    return
  assert mark(path, value) != mark()


@pytest.mark.parametrize(
  "path,value",
  [
    ("train.steps", 2000), ("train.log_every", 10), ("train.steps_per_call", 10),
    ("train.checkpoint_every", 100), ("train.best", "nll"), ("sample.steps", 5),
    ("likelihood.times", 3), ("evaluate.samples", 7), ("measures", ("likelihood",)),
    ("data.data_dir", "/elsewhere"), ("data.resident", "no"), ("data.threads", 1),
    ("data.batch_size", 64), ("data.path", "/elsewhere"),
  ],
)  # fmt: skip
def test_what_it_does_not_depend_on_leaves_the_fingerprint(path, value):
  assert mark(path, value) == mark()


def test_other_data_change_the_fingerprint():
  assert len({mark(), mark(spec=Spec.of((8, 8, 1), 17, 9)), mark(sizes={"train": 99})}) == 3
  assert mark(digest="other bytes") != mark()
  assert mark("data.other", "/a") == mark("data.other", "/b") != mark("data.other", "digits")


def test_the_fingerprint_survives_json():
  parsed = configs.parse(config(DDPM)).config
  again = json.loads(json.dumps(parsed))
  assert configs.fingerprint(again, [SPEC], SIZES, [""]) == configs.fingerprint(
    parsed, [SPEC], SIZES, [""]
  )


def test_merge_and_variant():
  base = {"model": {"width": 1, "deep": {"a": 1}}, "seed": 0, "measures": ("a",)}
  before = copy.deepcopy(base)
  merged = configs.merge(base, {"model": {"deep": {"b": 2}}}, {"seed": 1, "measures": ()})
  assert merged == {"model": {"width": 1, "deep": {"a": 1, "b": 2}}, "seed": 1, "measures": ()}
  assert base == before
  assert configs.variant("a", {"a": {"x": 1}}) == {"x": 1}
  with pytest.raises(UserError, match="no variant 'digit' in this config; did you mean digits?"):
    configs.variant("digit", {"digits": {}, "cifar10": {}})


def test_nearest():
  assert configs.nearest("widht", ["width", "height"]) == "; did you mean width?"
  assert configs.nearest("q", ["width", "height"]) == "; one of width, height"
  assert configs.nearest("q", []) == ""
