"""Clips that go on from their first frames, against the simulator that made them.

Poses are counted, not pixels, of which those that do not change make any error look small.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.core import as_integers, permutation
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

KNOWN = ("simulate", "read", "render")


class Clips(NamedTuple):
  """Clips of the split and what was made of their beginnings.

  given: poses [n, c, ...] of the given frames.
  wanted: poses [n, h, ...] of the h frames after it.
  right: whether the frames made show these, bool [n, h].
  factors: name -> the same of each factor.
  """

  given: np.ndarray
  wanted: np.ndarray
  right: np.ndarray
  factors: dict[str, np.ndarray]

  @property
  def last(self) -> np.ndarray:
    """The poses [n, ...] of the last given frames."""
    return self.given[:, -1]


def continues(system: System) -> str:
  """An obstacle where no first frames are given."""
  given = system.config["model"].get("context", 0)
  return "" if given else "needs clips that go on from given frames: set config.model.context"


def context(scene: Scene) -> int:
  """How many first frames are given."""
  return scene.system.config["model"]["context"]


def clips(scene: Scene) -> dict[str, np.ndarray]:
  """Fields of config.evaluate.samples clips of the split."""
  n, rows = scene.settings.samples, permutation(len(scene.split))
  return scene.split.take(rows[np.arange(n) % len(rows)])


def followed(scene: Scene, fields: dict[str, np.ndarray]) -> Clips:
  """What the model makes of the first frames of clips and the actions in `fields`."""
  known, given = scene.source.notes, context(scene)
  begin = fields["pose"][:, 0] if "pose" in fields else known["read"](fields["x"][:, 0])
  poses = known["simulate"](begin, fields["action"])
  wanted = poses[:, given:]
  made = scene.made({name: fields[name] for name in scene.model.cond})[:, given:]
  right, factors = compared(scene, made, wanted)
  return Clips(poses[:, :given], wanted, right, factors)


def compared(
  scene: Scene, x: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Whether frames x [n, h, H, W, C] are nearest to those of the poses that are wanted [n, h, ...],
  [n, h], and the same of each factor. Poses that look alike are one."""
  known, flat = scene.source.notes, x.reshape(-1, *x.shape[2:])
  # Where poses are a field, pictures of several worlds may be alike: one is read in its own.
  inside = (wanted.reshape(-1),) if "pose" in scene.spec.fields else ()
  found = known["read"](flat, *inside).reshape(wanted.shape)
  same = known["render"](found) == known["render"](wanted)
  right = same.reshape(*x.shape[:2], -1).all(-1)
  each = {
    name: right | (found[..., i] == wanted[..., i])
    for i, name in enumerate(known.get("factors", ()))
  }
  return right, each


def alike(scene: Scene, a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Whether poses a and b [n, h, ...] look alike, [n, h]."""
  a, b = (scene.source.notes["render"](poses) for poses in (a, np.broadcast_to(b, a.shape)))
  return (a == b).reshape(*a.shape[:2], -1).all(-1)


def shares(values: dict[str, np.ndarray]) -> dict[str, float]:
  return {name: float(value.mean()) for name, value in values.items()}


def record(scene: Scene, right: np.ndarray, **facts) -> Record:
  """The share of what is right."""
  where = {"examples": int(right.size), "split": scene.settings.split}
  return {"value": float(right.mean()), **where, **facts}


@measure(
  needs=("sample",), cond=("x",), fields=("action",), notes=(*KNOWN, "chances"), obstacle=continues
)
def poses(scene: Scene) -> dict[str, Record]:
  """How often a frame that the model makes shows the pose that the simulator comes to:

  pose_accuracy_h: the h-th frame after those that are given, which follows from what was made
    before it; beside it each factor, and what is right of the last given frame left as it is
    (`of_copying`) and of the best guess for which the actions are not known (`of_no_actions`).
  moving_pose_accuracy: of all frames whose pose is another than that of the frame before.
  visited_pose_accuracy: of those of them whose pose is that of a given frame, where there are any:
    in a world that was never seen, no other can be known.
  """
  found = followed(scene, clips(scene))
  known, steps = scene.source.notes, found.right.shape[1]
  copied = alike(scene, found.wanted, found.last[:, None])
  guessed = metrics.likeliest(known["simulate"], known["chances"], found.last, steps)
  out = {
    f"pose_accuracy_{h + 1}": record(
      scene, found.right[:, h], of_copying=float(copied[:, h].mean()),
      of_no_actions=float(guessed[:, h].mean()),
      **shares({name: value[:, h] for name, value in found.factors.items()}),
    )
    for h in range(steps)
  }  # fmt: skip
  before = np.concatenate([found.last[:, None], found.wanted[:, :-1]], axis=1)
  moved = ~alike(scene, found.wanted, before)
  same = [alike(scene, found.wanted, pose[:, None]) for pose in found.given.swapaxes(0, 1)]
  for name, some in {"moving": moved, "visited": moved & np.any(same, axis=0)}.items():
    if some.any():
      each = shares({factor: value[some] for factor, value in found.factors.items()})
      out[f"{name}_pose_accuracy"] = record(scene, found.right[some], **each)
  return out


@measure(
  "counterfactual_accuracy", needs=("sample",), cond=("x",), fields=("action",),
  notes=(*KNOWN, "chances"), obstacle=continues,
)  # fmt: skip
def counterfactual(scene: Scene) -> dict[str, Record]:
  """How often frames show what the simulator comes to where each action of a clip after the given
  frames is replaced by another; beside it what would be right of copies of the last given frame,
  and of frames that follow the clip's own actions."""
  fields, known, given = clips(scene), scene.source.notes, context(scene)
  rng, own = np.random.default_rng(scene.system.config["seed"]), fields["action"]
  action = own.copy()
  action[:, given - 1 :] = metrics.others(rng, own[:, given - 1 :], known["chances"])
  found = followed(scene, {**fields, "action": action})
  before = known["simulate"](found.last, own[:, given - 1 :])[:, 1:]
  facts = {f"step_{h + 1}": float(right.mean()) for h, right in enumerate(found.right.T)}
  copied = alike(scene, found.wanted, found.last[:, None])
  facts |= shares({"of_copying": copied, "of_own_actions": alike(scene, found.wanted, before)})
  return {"counterfactual_accuracy": record(scene, found.right, **facts)}


def large_enough(system: System) -> str:
  """An obstacle where SSIM has no window."""
  least = f"needs frames of {metrics.SMALLEST} pixels or more each way"
  return continues(system) or ("" if min(system.spec.shape[1:3]) >= metrics.SMALLEST else least)


@measure("frame_error", needs=("sample",), cond=("x",), obstacle=large_enough)
def frames(scene: Scene) -> dict[str, Record]:
  """Squared error of a frame after the given ones to the true one: the sum over the pixels of a
  frame, in [0, 1], and the mean over frames and clips; beside it PSNR (dB) and SSIM, means over
  frames and channels, and all of the last given frame left as it is."""
  fields, given = clips(scene), context(scene)
  unit = lambda x: x.astype(np.float64) / (scene.spec.levels - 1)
  true = unit(fields["x"])
  made = unit(scene.made({name: fields[name] for name in scene.model.cond}))[:, given:]
  last, wanted = true[:, given - 1 : given], true[:, given:]
  found, copied = (apart(x, wanted) for x in (made, np.broadcast_to(last, wanted.shape)))
  facts = {f"{name}_of_copying": value for name, value in copied.items()}
  value = found.pop("error")
  where = {"examples": int(np.prod(wanted.shape[:2])), "split": scene.settings.split}
  return {"frame_error": {"value": value, **where, **found, **facts}}


def apart(x: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
  """The error, PSNR and SSIM of frames [n, h, H, W, C] in [0, 1]."""
  of_channels = lambda x: np.moveaxis(metrics.PEAK * x, -1, 2)
  error = ((x - wanted) ** 2).sum((2, 3, 4))
  named = {f"step_{h + 1}": float(value) for h, value in enumerate(error.mean(0))}
  psnr, ssim = (f(of_channels(x), of_channels(wanted)).mean() for f in (metrics.psnr, metrics.ssim))
  return {"error": float(error.mean()), "psnr": float(psnr), "ssim": float(ssim), **named}


@measure("pose_accuracy_reconstructed", needs=("encode", "decode"), fields=("action",), notes=KNOWN)
def poses_restored(scene: Scene) -> dict[str, Record]:
  """How often the last frame of a clip shows its pose after encode and decode; beside it, each
  factor. What is lost there no prior of the codes brings back."""
  model, known = scene.model, scene.source.notes

  def restored(states, batch, keys):
    cond = scene.cond(batch)
    x = model.decode(states, model.encode(states, batch["x"], None, cond), cond)
    return {"x": as_integers(jnp.round(x[:, -1:]), scene.spec.levels), "last": batch["x"][:, -1:]}

  frames = scene.terms(restored)
  if "pose" in scene.spec.fields:
    wanted = scene.real["pose"][:, -1:]
  else:
    wanted = known["read"](frames["last"][:, 0])[:, None]
  right, each = compared(scene, frames["x"], wanted)
  return {"pose_accuracy_reconstructed": record(scene, right, **shares(each))}
