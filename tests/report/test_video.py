"""Measures of clips that go on: of the simulator itself, of copies, and of what is half wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import data
from gen_jax.core import Model, UserError
from gen_jax.data import video
from gen_jax.report import measures
from tests.report import made

T, N, CLIPS = 4, 24, 1000
FACTORS = ("shape", "colour", "scale", "orientation", "x", "y")


def source_of(name):
  return data.load(name, frames=T, clips=8, resolution=16)


def simulator(source, spoil=lambda poses: poses):
  """A model that renders what the simulator comes to; spoil: what is done to its poses."""
  notes = source.notes

  def clip(cond):
    x, action = (np.asarray(cond[name]) for name in ("x", "action"))
    poses = notes["simulate"](notes["read"](x[:, 0]), action)
    return notes["render"](spoil(poses))

  def sample(states, keys, cond):
    shape = jax.ShapeDtypeStruct((len(keys), *source.spec.shape), jnp.uint8)
    return jax.pure_callback(clip, shape, cond)

  return Model(None, None, None, sample=sample, cond=("x", "action"))


def taken(source, model, *names, given=1, n=N):
  experiment = made.settings(samples=n, batch_size=n)
  experiment.config["model"] = {"context": given}
  return measures.take(names, made.scene(model, source, experiment))


@pytest.mark.parametrize("name", ["moving", "maze"])
@pytest.mark.parametrize("given", [1, 2])
def test_the_simulator_is_right_at_every_step_whatever_the_actions(name, given):
  source = source_of(name)
  found = taken(source, simulator(source), "poses", "counterfactual", given=given)
  steps = [f"pose_accuracy_{h}" for h in range(1, T - given + 1)]
  moved = {"moving_pose_accuracy", "visited_pose_accuracy"}
  assert found.keys() - moved == {*steps, "counterfactual_accuracy"}
  assert all(record["value"] == 1 for record in found.values())
  if name == "moving":
    assert all(found["pose_accuracy_1"][factor] == 1 for factor in FACTORS)


def test_copies_are_right_as_often_as_nothing_happens():
  source = source_of("maze")
  still = simulator(source, lambda poses: np.repeat(poses[:, :1], T, 1))
  found = taken(source, still, "poses", "counterfactual", n=CLIPS)
  for h in range(1, T):
    assert found[f"pose_accuracy_{h}"]["value"] == found[f"pose_accuracy_{h}"]["of_copying"]
  record = found["counterfactual_accuracy"]
  assert record["value"] == record["of_copying"]
  assert record["value"] == pytest.approx(np.mean([record[f"step_{h}"] for h in (1, 2, 3)]))
  # In truth, of all poses: the probability of the actions that lead nowhere, and of those that lead
  # where most do.
  after, chances = source.notes["simulate"], source.notes["chances"]
  ends = after(np.repeat(np.arange(140), 4), np.tile(np.arange(4), 140)[:, None]).reshape(140, 4, 2)
  still = ((ends[..., 0] == ends[..., 1]) * chances).sum(1).mean()
  likeliest = np.mean([np.bincount(end, chances).max() for end in ends[..., 1]])
  error = 5 * np.sqrt(0.25 / CLIPS)
  assert found["pose_accuracy_1"]["of_copying"] == pytest.approx(still, abs=error)
  assert found["pose_accuracy_1"]["of_no_actions"] == pytest.approx(likeliest, abs=error)


def test_worlds_that_were_never_seen(monkeypatch):
  """Read in their own world; a model that knows only what it was given is right of that alone."""
  monkeypatch.setattr(video, "WORLDS", {"train": 2, "validation": 1, "test": 2})
  source = data.load("maze:many", frames=T, clips=8, resolution=16)
  whole = source.splits["test"].arrays()
  begin = {x[:2].tobytes(): pose[0] for x, pose in zip(whole["x"], whole["pose"])}

  def clip(cond):
    x, action = np.asarray(cond["x"]), np.asarray(cond["action"])
    pose = np.array([begin[clip[:2].tobytes()] for clip in x])
    found = source.notes["simulate"](pose, action)
    known = (found[:, :, None] == found[:, None, :2]).any(2)
    return source.notes["render"](np.where(known, found, found[:, :1]))

  shape = lambda keys: jax.ShapeDtypeStruct((len(keys), *source.spec.shape), jnp.uint8)
  sample = lambda states, keys, cond: jax.pure_callback(clip, shape(keys), cond)
  model = Model(None, None, None, sample=sample, cond=("x", "action"))
  found = taken(source, model, "poses", given=2, n=200)
  assert found["visited_pose_accuracy"]["value"] > 0.9  # two mazes may have a picture in common
  assert found["visited_pose_accuracy"]["value"] > 2 * found["moving_pose_accuracy"]["value"]


def test_one_that_follows_the_first_actions_is_found_out():
  source = source_of("moving")
  split = source.splits["test"].take(np.arange(1000))
  own = {tuple(x[0].ravel()): action for x, action in zip(split["x"], split["action"])}

  def clip(cond):
    x = np.asarray(cond["x"])
    action = np.stack([own[tuple(first[0].ravel())] for first in x])
    return source.notes["render"](source.notes["simulate"](source.notes["read"](x[:, 0]), action))

  shape = lambda keys: jax.ShapeDtypeStruct((len(keys), *source.spec.shape), jnp.uint8)
  sample = lambda states, keys, cond: jax.pure_callback(clip, shape(keys), cond)
  model = Model(None, None, None, sample=sample, cond=("x",))
  found = taken(source, model, "poses", "counterfactual")
  record = found["counterfactual_accuracy"]
  assert record["value"] == record["of_own_actions"] < 0.3
  assert found["pose_accuracy_1"]["value"] > 0.9  # a first frame may begin two clips


def test_a_factor_by_itself():
  """A sprite whose colour is the next one's."""
  source = source_of("moving")

  def recoloured(poses):
    poses = poses.copy()
    poses[..., 1] = (poses[..., 1] + 1) % 6
    return poses

  found = taken(source, simulator(source, recoloured), "poses")
  for record in found.values():
    assert record["value"] == record["colour"] == 0 and record["x"] == record["shape"] == 1


def test_errors_of_frames():
  """Of frames that are darker by a quarter of their brightness, and by nothing."""
  source = source_of("maze")
  model = simulator(source)
  exact = taken(source, model, "frames")["frame_error"]
  assert exact["value"] == 0 and exact["psnr"] == 100 and exact["ssim"] == pytest.approx(1)
  darker = lambda *args: (model.sample(*args) * 0.75).astype(jnp.uint8)
  found = taken(source, model._replace(sample=darker), "frames", n=CLIPS)["frame_error"]
  x = source.splits["test"].take(np.arange(CLIPS))["x"] / 255
  wanted = ((x[:, 1:] / 4) ** 2).sum((2, 3, 4))
  assert found["value"] == pytest.approx(wanted.mean(), rel=0.02)
  assert found["step_3"] == pytest.approx(wanted[:, 2].mean(), rel=0.02)
  copied = ((x[:, 1:] - x[:, :1]) ** 2).sum((2, 3, 4)).mean()
  assert found["error_of_copying"] == pytest.approx(copied)
  assert found["examples"] == CLIPS * (T - 1) and found["psnr"] < found["psnr_of_copying"] + 20


def test_frames_through_codes():
  source = source_of("moving")
  model = Model(
    None, None, None, encode=lambda states, x, keys, cond: x[..., :2],
    decode=lambda states, code, cond: jnp.pad(code, [(0, 0)] * 4 + [(0, 1)]) + 0.4,
  )  # fmt: skip
  (found,) = taken(source, model, "poses_restored").values()
  colour = source.notes["read"](source.splits["test"].take(np.arange(1000))["x"][:, -1])[:, 1]
  # Without blue: blue is black, cyan green and magenta red.
  assert found["value"] == pytest.approx(np.isin(colour, (0, 1, 3)).mean(), abs=1e-12)


def test_refusals():
  source = source_of("maze")
  system = made.trained(simulator(source), source).system
  assert "config.model.context" in measures.MEASURES["poses"].obstacle(system)
  system.config["measures"] = ("poses",)
  with pytest.raises(UserError, match="poses needs clips that go on"):
    measures.check(system)
