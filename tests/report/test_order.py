"""The law of sorted data: no measure and no mode changes beyond noise with the order of a split.

Folders of classes are read in the order of the classes, tables and sets of factors in theirs.
"""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.colour import PALETTE, paint
from gen_jax.core import Field, Model, Spec
from gen_jax.data import SPECIAL, ArraySplit, Source, load, maze, shapes
from gen_jax.metrics import health
from gen_jax.report import measures, rivals, uses
from gen_jax.report.judge import Judge
from gen_jax.run import grids, pictures
from tests.report import made
from tests.report.test_rivals import quadratic
from tests.run import toy

K, N, DRAWN = 5, 600, 150
CENTRES = 4 * np.stack([np.cos(np.arange(K) * 2 * np.pi / K), np.sin(np.arange(K) * 2 * np.pi / K)])
CENTRES = CENTRES.T.astype(np.float32)
VECTORS = Spec.of((2,), None, K, twin=Field((2,)), factors=Field((2,), 4))
SPRITES = shapes.sprites(8)
GAME = {"critic_on_real": 0.5, "critic_on_fake": -0.5, "critic_gradient_norm": 1.0}
GAME["effective_sample_size"] = 50.0


def vectors(seed):
  """Five clusters; a twin of each example, and factors that x are told by."""
  rng = np.random.default_rng(seed)
  label = rng.integers(K, size=N)
  near = lambda: CENTRES[label] + 0.5 * rng.standard_normal((N, 2))
  return {"x": near(), "label": label, "twin": near(), "factors": rng.integers(4, size=(N, 2))}


def factored(seed):
  """Examples and their factors alone, by which they are sorted."""
  return {name: value for name, value in vectors(seed).items() if name in ("x", "factors")}


def images(seed):
  """Pixels that are 40 times the class and a little more, their twins, and label images."""
  rng = np.random.default_rng(seed)
  label = rng.integers(K, size=N)
  near = lambda: 40 * label[:, None, None, None] + rng.integers(4, size=(N, 2, 2, 1))
  segmentation = near()[..., 0] // 40
  both = {"label": label, "label_y": label, "segmentation": segmentation}
  return {"x": near(), "twin": near(), "y": near(), **both}


def two_classes(seed):
  """x tells the class, and of the group a little."""
  rng = np.random.default_rng(seed)
  label, group = rng.integers(2, size=(2, N))
  x = np.stack([label + rng.standard_normal(N), group + 2 * rng.standard_normal(N)], 1)
  return {"x": x, "label": label, "group": group}


def seen_twice(seed):
  """Pictures in whose three channels persons are told, in two sessions."""
  return {**coloured(seed), "session": np.arange(N) % 2}


def channels(seed):
  """Two channels, each of one of three classes, as single pixels."""
  rng = np.random.default_rng(seed)
  x = rng.integers(3, size=(N, 1, 1, 2))
  return {"x": x, "twin": x, "label": 3 * x[:, 0, 0, 0] + x[:, 0, 0, 1]}


def halves(seed):
  """Pictures of two classes, told by their pixels but for a few."""
  rng = np.random.default_rng(seed)
  segmentation = (rng.random((N, 6, 6)) > 0.3).astype(np.int32)
  flipped = rng.random((N, 6, 6)) < 0.05
  return {"x": 200 * (segmentation ^ flipped)[..., None], "segmentation": segmentation}


def drawn(seed):
  """Sprites, which are their own twins, and their captions."""
  where = np.random.default_rng(seed).integers(SPRITES.size, size=N)
  x = SPRITES.draw(where)
  return {"x": x, "twin": x, "caption": SPRITES.captions_of(where)}


def coloured(seed):
  """Pixels whose three channels tell the class, and a little more."""
  rng = np.random.default_rng(seed)
  label = rng.integers(K, size=N)
  channel = np.array([40, 25, 10]) * label[:, None, None, None]
  return {"x": channel + rng.integers(30, size=(N, 2, 2, 3)), "label": label}


def in_paint(seed):
  """Pixels of the class of a label image, which is painted as y."""
  rng = np.random.default_rng(seed)
  segmentation = rng.integers(K, size=(N, 2, 2))
  x = 40 * segmentation[..., None] + rng.integers(50, size=(N, 2, 2, 1))
  return {"x": x, "y": paint(segmentation), "segmentation": segmentation}


def coarse(seed):
  """Noise of 16x16 pixels."""
  x = np.random.default_rng(seed).integers(256, size=(N, 16, 16, 1))
  return {"x": x, "label": x[:, 0, 0, 0] // 64}


def sentences(seed):
  """Words 4 to 8, of which the translation has the next, or in half of the sentences itself."""
  x = np.random.default_rng(seed).integers(4, 9, size=(N, 5))
  return {"x": x, "y": x + (x[:, :1] > 6)}


WALK = load("maze", resolution=12, frames=4, clips=1)


def walks(seed):
  """Clips of walks through a maze, which are their own twins."""
  rng = np.random.default_rng(seed)
  action = rng.integers(4, size=(N, 3))
  x = WALK.notes["render"](WALK.notes["simulate"](rng.integers(140, size=N), action))
  return {"x": x, "twin": x, "action": action}


def typed(arrays):
  """As sources have them: int32 and float32, pixels uint8."""

  def of(name, value):
    if value.dtype == np.float64:
      return value.astype(np.float32)
    return value.astype(np.uint8 if value.ndim >= 4 else np.int32)

  return {name: of(name, value) for name, value in arrays.items()}


def in_order(arrays, order):
  """Sorted by every field that is an integer, or shuffled."""
  keys = [v.reshape(N, -1).T for k, v in arrays.items() if v.dtype != np.float32 and k != "x"]
  keys = np.concatenate(keys or [arrays["x"].reshape(N, -1).T])[::-1]
  rows = np.lexsort(keys) if order == "sorted" else np.random.default_rng([7, order]).permutation(N)
  return {name: value[rows] for name, value in arrays.items()}


def source_of(data, spec, order, notes=()):
  splits = {
    name: ArraySplit(in_order(typed(data(seed)), order))
    for seed, name in enumerate(("train", "test"))
  }
  return Source("made", spec, splits, dict(notes))


def centroids(source, name):
  """A judge that reads x as the class whose mean in the training split is nearest."""
  train, test = (source.splits[split].arrays() for split in ("train", "test"))
  flat = lambda x: np.asarray(x, np.float64).reshape(len(x), -1)
  kinds = np.unique(train["label"])
  means = np.stack([flat(train["x"])[train["label"] == k].mean(0) for k in kinds])
  predict = lambda x: kinds[((flat(x)[:, None] - means) ** 2).sum(-1).argmin(1)]
  return Judge(predict, flat, float((predict(test["x"]) == test["label"]).mean()))


def noise(keys, shape):
  return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


TWINS = Model(
  init=None, update=None, evaluate=lambda states, batch, keys: {
    "square": jnp.sum(batch["x"] ** 2, -1), "noisy": batch["x"][:, 0] + noise(keys, ()),
  },
  sample=lambda states, keys, cond: cond["twin"] + 0.1 * noise(keys, (2,)),
  log_prob=lambda states, x, keys, cond: -jnp.sum(x**2, -1),
  encode=lambda states, x, keys, cond: x, decode=lambda states, z, cond: 0.9 * z,
  cond=("label", "twin"),
)  # fmt: skip
BOUNDED = TWINS._replace(evaluate=lambda states, batch, keys: {"bound": batch["x"].sum(-1)})
ROUNDED = TWINS._replace(encode=lambda states, x, keys, cond: jnp.round(x).astype(jnp.int32))
FACTORS = TWINS._replace(encode=lambda states, x, keys, cond: cond["factors"] * jnp.array([1.0, 9]))
CHANNELS = TWINS._replace(sample=lambda states, keys, cond: cond["twin"])
FAIR = TWINS._replace(
  predict=lambda states, x: jnp.stack([0 * x[:, 0], 2 * x[:, 0] - 1 + 0.3 * x[:, 1]], 1), cond=()
)
PIXELS = TWINS._replace(
  predict=lambda states, x: jax.nn.one_hot((x[..., 0] + 2) // 41, K),
  transform=lambda states, x, keys, cond: x - (x > 81), encode=lambda s, x, k, c: x[..., 0] * 1.0,
  decode=lambda states, z, cond: 0.9 * z[..., None],
  sample=lambda states, keys, cond: cond["twin"], cond=("label", "twin"),
)  # fmt: skip
RESTORING = PIXELS._replace(transform=lambda states, x, keys, cond: x + 22.0 * (x % 2), cond=())
BOARD = jnp.array([[0.0, 1], [2, 0]])[..., None]
BOARDED = PIXELS._replace(transform=lambda states, x, keys, cond: x + (x > 81) * BOARD, cond=())
FADED = TWINS._replace(
  observe=lambda states, x, keys, cond: jnp.repeat(x.max(-1, keepdims=True), 3, -1),
  transform=lambda states, x, keys, cond: (x * jnp.array([1.1, 1, 0.8])).astype(x.dtype), cond=(),
)  # fmt: skip
HUES = TWINS._replace(encode=lambda states, x, keys, cond: x.mean((1, 2)), cond=())
PAINTER = TWINS._replace(
  transform=lambda states, x, keys, cond: jnp.asarray(PALETTE)[x[..., 0] // 40], cond=()
)
SHADE = lambda x: jnp.full_like(x[..., :1], 255) * (jnp.arange(4).reshape(2, 2, 1) > 1)
HOLED = PIXELS._replace(
  observe=lambda states, x, keys, cond: jnp.concatenate([x, SHADE(x).astype(x.dtype)], -1),
  transform=lambda states, x, keys, cond: x[..., :1] + 2 * (x[..., 1:] == 0).astype(x.dtype),
  cond=(),
)
ENLARGING = PIXELS._replace(
  observe=lambda states, x, keys, cond: x[:, ::2, ::2],
  transform=lambda states, x, keys, cond: 1.0 * x.repeat(2, 1).repeat(2, 2), cond=(),
)  # fmt: skip
DRAWN_CODES = TWINS._replace(
  prior=lambda states, keys, cond: noise(keys, (3,)), encode=None, cond=(),
  styles=lambda states, code, cond: jnp.stack([code, code**2], 1),
  decode=lambda states, z, cond: 100 + 20 * z.reshape(len(z), -1, 1, 1)[:, :2].repeat(2, 2),
)  # fmt: skip
KEPT = jnp.asarray(SPRITES.draw(np.random.default_rng(0).integers(SPRITES.size, size=99)))
SPRITE_CODES = TWINS._replace(
  prior=lambda states, keys, cond: jax.vmap(lambda key: jax.random.uniform(key, (1,)))(keys),
  decode=lambda states, z, cond: KEPT[(99 * z[:, 0]).astype(int)], cond=(),
)  # fmt: skip
WORDS = TWINS._replace(transform=lambda states, x, keys, cond: x + 1, cond=())
IN_TURN = TWINS._replace(transform=lambda states, x, keys, cond: (x - 3) % 6 + 4, cond=())

WALKING = TWINS._replace(
  sample=lambda states, keys, cond: cond["twin"], encode=lambda states, x, keys, cond: x // 64,
  decode=lambda states, code, cond: 64.0 * code, cond=("x", "twin"),
)  # fmt: skip
WALKED = Spec.of(
  (4, 12, 12, 3), 256, twin=Field((4, 12, 12, 3), 256), action=Field((3,), 4, tuple(maze.ACTIONS))
)

FLAT = lambda x: 1.0 * x.reshape(len(x), -1)
BRIGHT = lambda x: FLAT(x) / jnp.linalg.norm(FLAT(x), axis=1)[:, None]
DRAWING = TWINS._replace(
  sample=lambda states, keys, cond: cond["twin"], cond=("twin", "caption"),
  embed=lambda states, x, keys, cond: (BRIGHT(x), BRIGHT(cond["twin"])),
)  # fmt: skip

HALVES = PIXELS._replace(
  predict=lambda states, x: jnp.stack([0.0 * x[..., 0], x[..., 0] / 50.0 - 2], -1), cond=()
)
HALVES_SPEC = Spec.of((6, 6, 1), 256, segmentation=Field((6, 6), 2, (), True))

WORD_FIELD = Field((5,), 10, (*SPECIAL, *"012345"))
LANGUAGES = Spec(WORD_FIELD, {"y": WORD_FIELD})
PICTURE = Field((2, 2, 1), 256)
IMAGES = Spec.of(
  (2, 2, 1), 256, K, twin=PICTURE, segmentation=Field((2, 2), K), y=PICTURE, label_y=Field((), K)
)
DRAWN_SPEC = Spec.of(
  (8, 8, 3), 256, twin=Field((8, 8, 3), 256), caption=Field((10,), len(shapes.VOCABULARY))
)
RESTORED = Spec.of((2, 2, 1), 256, K)
RGB = Spec.of((2, 2, 3), 256, K)
PERSONS = Spec.of((2, 2, 3), 256, K, session=Field((), 2))
PAINTED = Spec.of(
  (2, 2, 1), 256, y=Field((2, 2, 3), 256, (), True), segmentation=Field((2, 2), K, (), True)
)
GROUPS = Spec.of((2,), None, 2, group=Field((), 2))
EXACT = 1e-5  # of what is a function of the examples as a set, up to rounding; else what noise does
# measure -> (model, data, spec, settings, {figure: tolerance}).
MEASURED = {
  "likelihood": (TWINS, vectors, VECTORS, {}, {"square": EXACT, "noisy": 0.2}),
  "kl": (TWINS, vectors, VECTORS, {}, {"": EXACT}),
  "function_evaluations": (
    TWINS._replace(calls=7), vectors, VECTORS, {}, {"function_evaluations": 0}
  ),
  "bound_gap": (BOUNDED, vectors, VECTORS, {}, {"": EXACT}),
  "distances": (
    TWINS, vectors, VECTORS, {}, {"energy_distance": 0.3, "sliced_wasserstein": 0.6}
  ),
  "anomaly": (TWINS, vectors, VECTORS, {}, {"": 0.05}),
  "outliers_by_error": (TWINS, vectors, VECTORS, {"only": (0, 1)}, {"": EXACT}),
  "outliers_by_density": (TWINS, vectors, VECTORS, {"only": (0, 1)}, {"": EXACT}),
  "frechet": (TWINS, vectors, VECTORS, {}, {"frechet_distance": 1.0, "extractor_accuracy": EXACT}),
  "prdc": (TWINS, vectors, VECTORS, {}, {"": 0.12, "density": 0.2}),
  "sample_accuracy": (TWINS, vectors, VECTORS, {}, {"": 0.02}),
  "trained_on_samples": (TWINS, vectors, VECTORS, {}, {"": 0.02}),
  "memorisation": (TWINS, vectors, VECTORS, {}, {"": 0.3, "nearer_than_held_out": 0.04}),
  "class_shares": (TWINS, vectors, VECTORS, {}, {"": 0.12}),
  "modes": (TWINS, vectors, VECTORS, {}, {"": 0.1, "modes_covered": 0}),
  "channel_modes": (CHANNELS, channels, Spec.of((1, 1, 2), 3, 9), {}, {"": 0.1}),
  "health": (TWINS, vectors, VECTORS, {}, {"health": 0, "cell_perplexity_ratio": 0.2}),
  "active_units": (TWINS, vectors, VECTORS, {}, {"": EXACT}),
  "code_use": (ROUNDED, vectors, VECTORS, {}, {"": EXACT}),
  "disentanglement": (FACTORS, factored, VECTORS, {}, {"": 0.02}),
  "fairness": (FAIR, two_classes, GROUPS, {}, {"": EXACT, "group_auroc": 1e-3}),
  "group_probe": (FAIR, two_classes, GROUPS, {}, {"": 0.06}),
  "subgroups": (FAIR, two_classes, GROUPS, {}, {"": EXACT}),
  "segmentation": (PIXELS, images, IMAGES, {}, {"": EXACT}),
  "regions": (HALVES, halves, HALVES_SPEC, {}, {"": EXACT}),
  "restored_accuracy": (RESTORING, images, RESTORED, {}, {"": EXACT}),
  "rank": (HUES, seen_twice, PERSONS, {}, {"": EXACT}),
  "colour": (FADED, coloured, RGB, {}, {"": EXACT}),
  "recoloured_accuracy": (FADED, coloured, RGB, {}, {"": EXACT}),
  "painted": (PAINTER, in_paint, PAINTED, {}, {"": EXACT}),
  "hole_psnr": (HOLED, images, RESTORED, {}, {"": EXACT}),
  "completion_accuracy": (HOLED, images, RESTORED, {}, {"": EXACT}),
  "checkerboard": (BOARDED, images, RESTORED, {}, {"": EXACT}),
  "superres": (ENLARGING, coarse, Spec.of((16, 16, 1), 256, 4), {}, {"": EXACT}),
  "duality": (TWINS, vectors, VECTORS, {}, {"": EXACT}),
  "proximal_duality": (TWINS, vectors, VECTORS, {}, {"": EXACT}),
  "kernel": (TWINS, vectors, VECTORS, {}, {"": 20.0}),
  "sprites": (DRAWING, drawn, DRAWN_SPEC, {}, {"legible": EXACT, "": 0.4}),
  "caption_faithful": (DRAWING, drawn, DRAWN_SPEC, {}, {"": 0.02}),
  "captions_left_out": (DRAWING, drawn, DRAWN_SPEC, {"leave_out": ("red heart",)}, {"": 0.02}),
  "captions_reconstructed": (DRAWING, drawn, DRAWN_SPEC, {}, {"": EXACT}),
  "read_out": (SPRITE_CODES, drawn, DRAWN_SPEC, {}, {"": EXACT}),
  "path_length": (DRAWN_CODES, images, RESTORED, {}, {"": EXACT}),
  "retrieval": (DRAWING, drawn, DRAWN_SPEC, {}, {"": 0.03}),
  "words": (WORDS, sentences, LANGUAGES, {}, {"": EXACT}),
  "bleu": (IN_TURN, sentences, LANGUAGES, {}, {"": EXACT}),
  "round_trip": (IN_TURN, sentences, LANGUAGES, {}, {"": EXACT}),
  "word_by_word": (IN_TURN, sentences, LANGUAGES, {}, {"": EXACT}),
  "dictionary": (IN_TURN, sentences, LANGUAGES, {}, {"": EXACT}),
  "translation": (PIXELS._replace(cond=()), images, IMAGES, {}, {"": EXACT}),
  "cycle": (PIXELS._replace(cond=()), images, IMAGES, {}, {"": EXACT}),
  "translated_accuracy": (PIXELS._replace(cond=()), images, IMAGES, {}, {"": EXACT}),
  "poses": (WALKING, walks, WALKED, {}, {"": 0.12}),
  "counterfactual": (WALKING, walks, WALKED, {}, {"": 0.12}),
  "frames": (WALKING, walks, WALKED, {}, {"": 8.0}),
  "poses_restored": (WALKING, walks, WALKED, {}, {"": EXACT}),
  "sprite_counterparts": (PIXELS._replace(cond=()), images, IMAGES, {}, {"": EXACT}),
}  # fmt: skip


def figures_of(name, order, mesh):
  """The values of a measure, and of health what it rests on."""
  model, data, spec, settings, _ = MEASURED[name]
  notes = {"modes": CENTRES, "mode_deviation": 0.5, "counterparts": True}
  notes["sprites"] = SPRITES
  notes |= WALK.notes
  notes["log_density"] = lambda x: -(np.asarray(x, np.float64)[:, 0] ** 2)
  notes["mask"] = lambda x: x[..., 0] > 41
  if name == "channel_modes":
    one = lambda seed: {"x": (x := channels(seed)["x"][..., :1]), "label": x[:, 0, 0, 0]}
    notes = {"channels": source_of(one, Spec.of((1, 1, 1), 3, 3), order)}
  experiment = made.settings(settings, samples=DRAWN, neighbours=5)
  experiment.config |= (
    {"sample": {"direction": "x_to_y"}} if name in ("cycle", "round_trip") else {}
  )
  experiment.config |= {"model": {"scale": 2}} if name == "superres" else {}
  experiment.config |= (
    {"model": {"context": 1}} if name in ("poses", "counterfactual", "frames") else {}
  )
  source = source_of(data, spec, order, notes)
  if name == "dictionary":
    source.splits["validation"] = source.splits["test"]
  if name in ("duality", "proximal_duality"):
    source.splits["validation"] = source.splits["test"]
    experiment = toy.experiment(evaluate={"batch_size": 16, "rival_steps": 60})
  if name == "captions_left_out":
    source.splits["left_out"] = source.splits["test"]
  scene = made.scene(model, source, experiment, centroids, mesh=mesh)
  scene.rows = [GAME] * 8
  records = measures.take((name,), scene)
  found = {figure: record["value"] for figure, record in records.items()}
  if name == "health":
    found["cell_perplexity_ratio"] = records["health"]["cell_perplexity_ratio"]
  return found


def answered(model):
  """The game that the duality gap is taken of."""
  value = lambda states, batch, keys: {
    "value": -model.evaluate(states[-1], batch, keys)["critic_loss"]
  }
  return rivals.Game(model, model.init(jax.random.key(0), {}), value)


def test_every_measure_and_every_mode_is_held():
  assert MEASURED.keys() == measures.MEASURES.keys()
  assert SHOWN.keys() == uses.USES.keys()


@pytest.mark.parametrize("name", MEASURED)
def test_measures(name, mesh, monkeypatch):
  monkeypatch.setattr(health, "FITTED", 100)
  monkeypatch.setattr(rivals, "game_of", lambda scene, key: answered(quadratic(0.1)))
  monkeypatch.setattr(measures.translation, "opposite", lambda scene, way: scene.model)
  tolerances = MEASURED[name][-1]
  found = {order: figures_of(name, order, mesh) for order in ("sorted", 1, 2, 3)}
  declared = measures.MEASURES[name].figures
  assert not declared or set(declared) == found[1].keys() - {"cell_perplexity_ratio"}
  for figure, value in found["sorted"].items():
    others = [found[order][figure] for order in (1, 2, 3)]
    tolerance = tolerances.get(figure, tolerances.get(""))
    assert others == pytest.approx([value] * 3, rel=min(tolerance, EXACT), abs=tolerance), figure
  assert all(np.isfinite(value) for each in found.values() for value in each.values())


# mode -> (model, data, spec, {what: tolerance}); see `shown_by` for what.
# Of 200 pictures of five classes that are 40 grey levels apart: 3.5 standard deviations.
PIXEL_NOISE = {"mean": 16, "std": 10}
SHOWN = {
  "reconstruct": (PIXELS, images, IMAGES, PIXEL_NOISE | {"said": 0.02}),
  "transform": (PIXELS, images, IMAGES, PIXEL_NOISE),
  "predict": (
    PIXELS._replace(predict=lambda states, x: jax.nn.one_hot(x[:, 0, 0, 0] // 40, K)), images,
    IMAGES, {"mean": 0.4, "std": 0.25},
  ),
  "interpolate": (PIXELS, images, IMAGES, {"mean": 40, "std": 25}),  # of 20 pairs
  "mix": (DRAWN_CODES, images, RESTORED, {"": EXACT}),
  # All is seen from one example; which latents vary, and how much, is told of all of them.
  "traverse": (TWINS, vectors, VECTORS, {"mean": 4, "std": 2, "said": 0.01}),
  "encode": (TWINS, vectors, VECTORS, {"": EXACT}),
  "map": (TWINS, vectors, VECTORS, {"": EXACT}),
  "codes": (ROUNDED, vectors, VECTORS, {"": EXACT}),
  "probe": (TWINS, vectors, VECTORS, {"": 0.02}),
  "neighbours": (PIXELS, images, IMAGES, {"mean": 40, "std": 25}),  # of 40
  "density": (TWINS._replace(cond=()), vectors, Spec.of((2,)), {"": EXACT}),
  "dictionary": (IN_TURN, sentences, LANGUAGES, {"": EXACT}),
}  # fmt: skip
SAYS = {"reconstruct": r"error ([\d.]+)", "traverse": r": ([\d.]+)", "codes": r"first ([\d.]+)"}


def shown_by(name, order, workdir, monkeypatch):
  """Mean and std of every array that a mode draws or writes, and the figures that it says."""
  model, data, spec, _ = SHOWN[name]
  drawn = []

  def note(path, array, *args, **kwargs):
    drawn.append(array)

  for function in ("show", "save_png", "scatter", "shares", "heat"):
    monkeypatch.setattr(pictures, function, note)
  if name == "density":
    points = lambda seed: {"x": vectors(seed)["x"]}
    source = source_of(points, spec, order)
  else:
    source = source_of(data, spec, order)
  workdir.mkdir()
  run = uses.Use(made.trained(model, source, workdir=workdir), 200)
  said = uses.USES[name].run(run)
  for path in sorted((workdir / name).iterdir()):
    if path.suffix == ".npz":
      drawn += list(np.load(path).values())
    elif path.suffix == ".json":
      drawn += [np.float64(each["value"]) for each in json.loads(path.read_text()).values()]
    else:
      drawn.append(np.array([int(line.split("\t")[1]) for line in path.open()]))
  out = {}
  for i, array in enumerate(drawn):
    array = np.asarray(array, np.float64)
    out |= {f"mean {i}": array.mean(), f"std {i}": array.std()}
  for i, number in enumerate(re.findall(SAYS[name], said) if name in SAYS else ()):
    out[f"said {i}"] = float(number)
  assert out
  return out


@pytest.mark.parametrize("name", SHOWN)
def test_modes(name, tmp_path, monkeypatch):
  tolerances = SHOWN[name][-1]
  found = {
    order: shown_by(name, order, tmp_path / str(order), monkeypatch)
    for order in ("sorted", 1, 2, 3)
  }
  for what, value in found["sorted"].items():
    others = [found[order][what] for order in (1, 2, 3)]
    tolerance = tolerances.get(what.split()[0], tolerances.get(""))
    assert others == pytest.approx([value] * 3, rel=min(tolerance, EXACT), abs=tolerance), what


def test_the_grid_of_examples_that_training_leaves(monkeypatch):
  def shown(order):
    source = source_of(images, IMAGES, order)
    source.splits["validation"] = source.splits["test"]
    system = made.trained(PIXELS, source).system
    grid = grids.Grid(system, 0)
    return np.unique(grid.examples([{}])[0]["label"])

  for order in ("sorted", 1, 2, 3):
    assert len(shown(order)) > K - 2  # of 16 examples
