"""The laws of the design, over every system of the registry."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import UserError, fold_each
from gen_jax.data import passes
from gen_jax.run import job, loop, mesh, sample, signals
from gen_jax.run.conditions import conditions
from gen_jax.run.load import restore
from gen_jax.run.loop import train
from gen_jax.run.mesh import make_mesh
from gen_jax.run.stage import Run
from tests.conformance.systems import MORE, SYSTEMS, build, first_batch, one_device
from tests.rows import rows

CASES = [*SYSTEMS, *(pytest.param(system, marks=pytest.mark.slow) for system in MORE)]
pytestmark = pytest.mark.parametrize("system", CASES, ids=lambda s: s.name)


def equal(a, b):
  """Bit for bit, leaf by leaf."""
  la, lb = (jax.tree_util.tree_flatten_with_path(t)[0] for t in (a, b))
  assert [p for p, _ in la] == [p for p, _ in lb]
  for (path, x), (_, y) in zip(la, lb, strict=True):
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=jax.tree_util.keystr(path))


COMPILED = {}  # (system, stage) -> the first run of it


@contextlib.contextmanager
def sharing(system):
  """What has been compiled for the stages of a system is used again."""

  class Again(Run):
    def __init__(self, job, index, *args):
      super().__init__(job, index, *args)
      first = COMPILED.setdefault((system.name, index), self)
      self.step, self.validator, self.grid = first.step, first.validator, first.grid

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "Run", Again)
    yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """system -> (built, result of a whole run, its folder), made once."""
  made = {}

  def get(system):
    if system.name not in made:
      built = build(system.name)
      workdir = tmp_path_factory.mktemp("whole")
      with sharing(system):
        made[system.name] = built, train(built, workdir=workdir), workdir
    return made[system.name]

  return get


@pytest.mark.parametrize("resumed_by", ["same_program", "new_program"])
def test_laws_1_and_3_run_again_or_stopped_it_is_the_same_run(
  system, resumed_by, trained, tmp_path
):
  built, whole, workdir = trained(system)
  total = whole.step
  halves = mkdir(tmp_path / "halves")
  for stop_at in (total // 2 - 1, total - 1):  # between two log rows, and between two checkpoints
    stop = Stop(stop_at)
    with sharing(system), pytest.raises(signals.Stopped):
      train(built, workdir=halves, on_step=stop)
  with sharing(system) if resumed_by == "same_program" else contextlib.nullcontext():
    resumed = train(built, workdir=halves)
  equal(whole.states, resumed.states)
  assert rows(workdir) == rows(halves)
  pictures = [sorted((d / "samples").glob("*.png")) for d in (workdir, halves)]
  assert [p.read_bytes() for p in pictures[0]] == [p.read_bytes() for p in pictures[1]]


def eight_devices():
  return make_mesh(jax.devices()[:8])


class Stop:
  """Sends this process a SIGTERM after a step, as a scheduler would."""

  def __init__(self, step):
    self.step = step

  def __call__(self, step):
    if step == self.step:
      signals.signal.raise_signal(signals.signal.SIGTERM)


def mkdir(path):
  path.mkdir()
  return path


def test_law_4_one_compilation_per_stage(system, trained):
  built, result, _ = trained(system)
  assert result.compilations == [1] * len(built.program.stages)


@pytest.mark.parametrize("layout", ["replicated", "sharded"])
def test_law_5_one_device_and_eight_agree_in_float64(system, layout, monkeypatch):
  monkeypatch.setattr(mesh, "SHARDED_FROM", 1)
  with jax.enable_x64(True):
    if system.name not in ALONE:
      built = build(system.name, system.float64, {"train": {"steps": 4}})
      ALONE[system.name] = train(built).states
    change = {"train": {"steps": 4, "layout": layout}}
    eight = train(build(system.name, system.float64, change, mesh=eight_devices())).states
  one = ALONE[system.name]
  split = [x for x in jax.tree.leaves(eight) if not x.is_fully_replicated]
  assert bool(split) == (layout == "sharded")
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
    if jnp.issubdtype(a.dtype, jnp.floating):
      assert a.dtype == jnp.float64 or a.size == 1, "the whole state must be float64 here"
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-9, atol=1e-9)


ALONE = {}  # states of the float64 runs on one device


def test_law_5_one_device_and_eight_agree_in_float32_for_a_step(system):
  built = build(system.name)
  metrics = []
  for n in (1, 8):
    devices = make_mesh(jax.devices()[:n])
    rows = {}
    one_step = built.experiment._replace(
      train=built.experiment.train.__class__(steps=1, log_every=1, checkpoint_every=1)
    )
    log = job.Log(None, 1, "", "", None)
    log.row = lambda stage, step, total, terms, rows=rows, **facts: rows.update(terms)
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(job, "Log", lambda *a, log=log: log)
      train(built._replace(experiment=one_step, mesh=devices))
    metrics.append(rows)
  assert metrics[0].keys() == metrics[1].keys() and metrics[0]
  for name in metrics[0]:
    np.testing.assert_allclose(metrics[0][name], metrics[1][name], rtol=1e-4, atol=1e-4)


def test_law_6_a_sample_is_its_own(system, trained):
  built, result, _ = trained(system)
  model, spec = built.program.model, built.source.spec
  if model.sample is None:
    pytest.skip("cannot be sampled")
  device = one_device()
  drawer = sample.compiled(model.sample, device)
  split = built.source.splits["train"]

  def draw(n, seed=3):
    cond = conditions(model, spec, n, split=split)
    key = sample.sample_keys(seed)
    return sample.draw(drawer, result.states, key, n, cond, chunk=8, mesh=device)

  x = draw(11)
  assert x.shape == (11, *spec.shape)
  if spec.levels is not None:
    assert np.issubdtype(x.dtype, np.integer) and x.min() >= 0 and x.max() < spec.levels
  np.testing.assert_array_equal(draw(3), x[:3])
  np.testing.assert_array_equal(draw(11), x)
  assert not np.array_equal(draw(3, seed=4), x[:3])
  # Neighbours with other keys and conditions leave a sample as it is.
  keys = fold_each(jax.random.key(0), jnp.arange(8))
  others = fold_each(jax.random.key(1), jnp.arange(8)).at[5].set(keys[5])
  cond = conditions(model, spec, 8, split=split)
  kept = lambda v: (np.arange(8) == 5).reshape(8, *[1] * (v.ndim - 1))
  moved = {name: np.where(kept(v), v, v[::-1]) for name, v in cond.items()}
  a, b = drawer(result.states, keys, cond), drawer(result.states, others, moved)
  np.testing.assert_array_equal(a[5], b[5])


def test_without_a_condition_a_model_draws_or_refuses_in_one_line(system, trained):
  built, result, _ = trained(system)
  model, split = built.program.model, built.source.splits["train"]
  if not model.cond:
    pytest.skip("takes no condition")
  keys = fold_each(jax.random.key(0), jnp.arange(4))
  x = split.take(np.arange(4))["x"]
  given = lambda x: x if model.observe is None else model.observe(result.states, x, keys, None)
  calls = {
    "sample": lambda: model.sample(result.states, keys, None),
    "log_prob": lambda: model.log_prob(result.states, x, keys, None),
    "encode": lambda: model.encode(result.states, x, keys, None),
    "transform": lambda: model.transform(result.states, given(x), keys, None),
  }
  for name, call in calls.items():
    if getattr(model, name) is not None:
      try:
        found = jax.eval_shape(call)
      except UserError as refusal:
        assert "\n" not in str(refusal) and "condition" in str(refusal)
      else:
        assert all(leaf.shape[0] == 4 for leaf in jax.tree.leaves(found)), name


def test_weights_are_all_that_a_finished_model_reads(system, trained):
  """An export holds nothing else; and a sampler can be exported for any number of samples."""
  built, result, _ = trained(system)
  model, stages = built.program.model, built.program.stages
  states = [
    {name: state[name] for name in stage.model.weights if name in state}
    for stage, state in zip(stages, result.states, strict=True)
  ]
  batch = jax.tree.map(jnp.asarray, built.source.splits["train"].take(np.arange(4)))
  keys, x = fold_each(jax.random.key(0), jnp.arange(4)), batch[model.given]
  cond = {name: batch[name] for name in model.cond} or None
  given = lambda: x if model.observe is None else model.observe(states, x, keys, cond)
  (n,) = jax.export.symbolic_shape("n")
  any_number = lambda v: jax.ShapeDtypeStruct((n, *v.shape[1:]), v.dtype)
  any_keys, any_cond = jax.tree.map(any_number, (keys, cond))
  calls = {
    "sample": lambda: jax.eval_shape(model.sample, states, any_keys, any_cond),
    "log_prob": lambda: model.log_prob(states, batch["x"], keys, cond),
    "encode": lambda: model.encode(states, batch["x"], keys, cond),
    "predict": lambda: model.predict(states, batch["x"]),
    "transform": lambda: model.transform(states, given(), keys, cond),
  }
  for name, call in calls.items():
    if getattr(model, name) is not None:
      jax.eval_shape(call)


def test_an_unfinished_system_can_be_loaded_and_shown(system, trained, tmp_path):
  built, whole, workdir = trained(system)
  if len(built.program.stages) == 1:
    pytest.skip("has one stage")
  with pytest.raises(signals.Stopped):
    mark = built.claim(tmp_path)
    train(built, workdir=tmp_path, fingerprint=mark, on_step=Stop(built.lengths[0]))
  states, step = restore(built, tmp_path, "newest")
  assert step == built.lengths[0] and len(states) == 1
  model, (spec, source) = built.model(0), built.seen(0)
  batch = jax.tree.map(jnp.asarray, next(passes(source.splits["train"], 4)))
  keys = fold_each(jax.random.key(0), batch["index"])
  terms = jax.eval_shape(model.evaluate, states, batch, keys)
  assert all(t.shape[:1] == (4,) for t in terms.values())
  if model.sample is not None:
    cond = {name: batch[name] for name in model.cond} or None
    assert jax.eval_shape(model.sample, states, keys, cond).shape == (4, *spec.shape)


def test_law_7_values_are_per_example_and_padding_is_left_out(system, trained):
  built, result, _ = trained(system)
  batch = first_batch(built.source, 6)
  keys = fold_each(jax.random.key(0), batch["index"])
  values = jax.jit(built.program.model.evaluate)(result.states, batch, keys)
  for name, value in values.items():
    assert value.shape[:1] == (6,), name
    assert jnp.isfinite(value).all(), name
  # An update ignores what stands in the rows of the padding, in every field and every stage.
  for i, stage in enumerate(built.program.stages):
    if not result.states[i]:
      continue  # freed by a later stage
    size = built.feed(i).batch_size
    batch = first_batch(built.sources[i], size)
    mask = jnp.arange(size) < size - 3
    kept = lambda v, mask=mask: mask.reshape(-1, *[1] * (v.ndim - 1))
    fields = {name: batch[name] for name in ("x", *built.specs[i].fields)}
    zeros = {name: jnp.where(kept(v), v, jnp.zeros_like(v)) for name, v in fields.items()}
    update, outcomes = jax.jit(stage.model.update), []
    for garbage in ({}, zeros):
      seen = {**batch, **garbage, "mask": mask}
      if stage.view is not None:
        seen = stage.view(result.states[:i], seen, jax.random.key(1))
      micro = jax.tree.map(lambda a, m=stage.model.microbatches: jnp.stack([a] * m), seen)
      outcomes.append(update(result.states[i], micro, jax.random.key(2), jnp.int32(0)))
    equal(outcomes[0][1], outcomes[1][1])
    equal(outcomes[0][0], outcomes[1][0])


def test_law_8_shapes_are_asserted(system, trained):
  built, result, _ = trained(system)
  batch = first_batch(built.source, 4)
  batch["x"] = jnp.concatenate([batch["x"], batch["x"]], axis=-1)
  keys = fold_each(jax.random.key(0), batch["index"])
  with pytest.raises((AssertionError, TypeError, ValueError)):
    jax.eval_shape(built.program.model.evaluate, result.states, batch, keys)


def test_capabilities_have_the_shapes_of_the_contract(system, trained):
  built, result, _ = trained(system)
  model, n = built.program.model, 4
  batch = first_batch(built.source, n)
  keys, x = fold_each(jax.random.key(0), batch["index"]), batch["x"]
  cond = {name: batch[name] for name in model.cond} or None
  shape = lambda f, *args: jax.eval_shape(f, result.states, *args)
  if model.log_prob is not None:
    assert shape(model.log_prob, x, keys, cond).shape == (n,)
  if model.predict is not None:
    assert shape(model.predict, x).shape[0] == n
  if model.encode is not None:
    # With keys it may be drawn; without, as reconstruction, maps and probes ask for it, it is not.
    code, fixed = (shape(model.encode, x, k, cond) for k in (keys, None))
    assert all(leaf.shape[0] == n for leaf in jax.tree.leaves(code))
    assert jax.tree.map(lambda a: a.shape, code) == jax.tree.map(lambda a: a.shape, fixed)
    if model.decode is not None:
      assert shape(model.decode, code, cond).shape == x.shape
      assert shape(model.decode, fixed, cond).shape == x.shape
  if model.prior is not None and model.decode is not None:
    code = shape(model.prior, keys, cond)
    assert shape(model.decode, code, cond).shape == x.shape
  if model.transform is not None:
    given = x if model.observe is None else shape(model.observe, x, keys, cond)
    assert shape(model.transform, given, keys, cond).shape[0] == n
  if model.pictures is not None:
    whole = built.source.spec.shape  # of clips, frames are shown too
    assert all(p.shape[1:] == whole[1 - p.ndim :] for p in shape(model.pictures).values())
  if model.trajectory is not None:
    frames = shape(model.trajectory, keys, cond)
    # A clip comes to be by its frames.
    assert frames.shape[1:] in (x.shape, (n, *x.shape[2:]))
    assert frames.dtype == shape(model.sample, keys, cond).dtype
  for stage, state in zip(built.program.stages, result.states, strict=True):
    assert stage.model.weights and (not state or set(stage.model.weights) <= set(state))
