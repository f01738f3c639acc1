"""A collage of runs: what stands in which row, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from gen_jax.core import Field, Model, Spec, UserError
from gen_jax.report import collage
from gen_jax.run.pictures import WIDTH
from tests.report import made


@pytest.fixture
def runs(monkeypatch):
  """Runs whose samples are all of one grey level, by the name of their folder."""

  def flat(level, cond=(), shape=(4, 4, 1)):
    def draw(states, keys, cond):
      value = np.uint8(level) + (0 if cond is None else cond["label"].astype(np.uint8))
      return np.zeros((len(keys), *shape), np.uint8) + np.reshape(value, (-1, 1, 1, 1))

    model = Model(None, None, None, sample=draw, cond=cond)
    spec = Spec.of(shape, 10, classes=3, caption=Field((4,), 9))
    return made.trained(model, spec=spec)

  known = {
    "dark": flat(0), "light": flat(9), "classes": flat(4, ("label",)),
    "silent": made.trained(Model(None, None, None), spec=Spec.of((4, 4, 1), 10)),
    "captions": flat(4, ("caption",)), "large": flat(4, shape=(8, 8, 1)),
  }  # fmt: skip
  monkeypatch.setattr(collage, "load_run", lambda path, mesh: known[path.name])


def test_rows(runs, tmp_path):
  out = tmp_path / "docs" / "all.png"
  text = collage.collage(["runs/dark", "runs/silent", "runs/classes", "runs/light"], out, 8)
  assert "dark, classes, light" in text and "runs/silent: no samples" in text
  image = np.asarray(Image.open(out))
  row = len(image) // 3
  middle = [image[int((i + 0.5) * row), image.shape[1] - WIDTH :] for i in range(3)]
  inside = [set(np.unique(line).tolist()) - {255} for line in middle]
  assert inside[0] == {0}
  assert inside[1] == {round(255 * k / 9) for k in (4, 5, 6)}  # classes 0, 1, 2 in turn
  assert inside[2] == set()  # level 9 is white
  names = image[:, : image.shape[1] - WIDTH]
  for i in range(3):
    assert names[i * row : (i + 1) * row].min() < 100  # each row has its name


def test_refusals(runs, tmp_path):
  with pytest.raises(UserError, match="none of"):
    collage.collage(["runs/silent", "runs/captions"], tmp_path / "x.png")
  with pytest.raises(UserError, match=r"large has images of shape \(8, 8, 1\)"):
    collage.collage(["runs/dark", "runs/large"], tmp_path / "x.png")
