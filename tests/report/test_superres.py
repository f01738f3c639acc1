"""The measure of super-resolution: whole images of unequal size, by Pillow and by hand."""

import io
import types
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax import data, metrics
from gen_jax.core import Model, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.nets.superres import enlarge, reduce
from gen_jax.report import measures
from gen_jax.report.measures import superres
from tests.report import made

RNG = np.random.default_rng(0)


def model_of(scale, transform=None):
  """Observes as super-resolution does, and enlarges bicubically, or by `transform`."""

  def observe(states, x, keys, cond):
    height, width = (n // scale * scale for n in x.shape[1:3])
    x = reduce(x[:, :height, :width].astype(jnp.float32), scale)
    return jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8)

  bicubic = lambda states, x, keys, cond: enlarge(x.astype(jnp.float32), scale)
  return Model(None, None, None, observe=observe, transform=transform or bicubic)


def taken(model, source, scale, **data):
  experiment = made.settings(data)
  experiment.config["model"] = {"scale": scale}
  return measures.take(("superres",), made.scene(model, source, experiment))


def smooth(height, width):
  x = RNG.uniform(0, 255, size=(height // 4, width // 4, 3)).astype(np.uint8)
  return np.asarray(Image.fromarray(x).resize((width, height), Image.Resampling.BICUBIC))


def archive(path, images):
  with zipfile.ZipFile(path, "w") as file:
    for name, x in images.items():
      out = io.BytesIO()
      Image.fromarray(x).save(out, format="png")
      file.writestr(name, out.getvalue())
  return str(path)


def test_whole_images_of_unequal_size_are_measured(tmp_path):
  scale, whole = 3, [smooth(49, 62), smooth(41, 37)]
  images = {f"test/{i}.png": x for i, x in enumerate(whole)}
  images |= {"train/0.png": smooth(40, 40), "train/1.png": smooth(44, 40)}
  path = archive(tmp_path / "set.zip", images)
  source = data.load("folder", path=path, patch=24, validation=0.0)
  found = taken(model_of(scale), source, scale, patch=24)
  values = []
  for x in whole:
    height, width = (n // scale * scale for n in x.shape[:2])
    wanted = Image.fromarray(x[:height, :width])
    small = wanted.resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    large = small.resize((width, height), Image.Resampling.BICUBIC)
    y = [np.rint(16 + np.asarray(p) @ [65.481, 128.553, 24.966] / 255) for p in (wanted, large)]
    error = ((y[0] - y[1])[scale:-scale, scale:-scale] ** 2).mean()
    values.append(10 * np.log10(255**2 / error))
  record = found["psnr_y"]
  assert record["examples"] == 2 and record["crop"] == record["scale"] == scale
  # Pillow's rounding differs from ours in a grey level here and there.
  assert record["value"] == pytest.approx(np.mean(values), abs=0.02)
  for name in ("psnr_y", "ssim_y", "detail_y"):
    assert found[name]["value"] == found[name]["bicubic"]
  assert 0 < found["detail_y"]["value"] < found["detail_y"]["of_real"] < 1


def test_images_of_one_size_are_measured_in_batches_and_an_exact_answer_is_one():
  x = np.stack([smooth(32, 24) for _ in range(11)])
  source = Source("made", Spec.of((32, 24, 3), 256), {"test": ArraySplit({"x": x})}, {})
  # What is given is the picture itself, so that the exact answer can be made.
  hidden = model_of(2)._replace(
    observe=lambda states, x, keys, cond: x[:, ::2, ::2],
    transform=lambda states, x, keys, cond: jnp.repeat(jnp.repeat(x, 2, 1), 2, 2) * 1.0,
  )
  blocks = x[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
  exact = Source("made", source.spec, {"test": ArraySplit({"x": blocks})}, {})
  found = taken(hidden, exact, 2)
  assert found["psnr_y"]["value"] == 100 and found["ssim_y"]["value"] == pytest.approx(1)
  assert found["detail_y"]["value"] == pytest.approx(found["detail_y"]["of_real"])
  found = taken(hidden, source, 2)
  y = [metrics.luminance(v)[:, 2:-2, 2:-2] for v in (x, blocks)]
  assert found["psnr_y"]["value"] == pytest.approx(metrics.psnr(*y).mean())
  assert found["psnr_y"]["examples"] == 11 and found["psnr_y"]["bicubic"] < 100


@pytest.mark.parametrize(
  "shape,model,words", [((32, 32, 3), {}, "has a scale"), ((12, 32, 3), {"scale": 2}, "11 pixels")]
)
def test_what_it_cannot_be_taken_of(shape, model, words):
  system = types.SimpleNamespace(spec=Spec.of(shape, 256), config={"model": model})
  assert words in superres.unfit(system)
