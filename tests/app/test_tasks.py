"""What the command line makes of a run folder."""

import json

import numpy as np
import pytest

from gen_jax.app import tasks
from gen_jax.core import UserError
from tests.run import toy


def test_options_of_sampling_side_by_side(mesh, tmp_path, capsys):
  parsed = toy.experiment(train={"steps": 4})
  toy.go(mesh, parsed, workdir=tmp_path, fingerprint=toy.claim(tmp_path, parsed))
  how = dict(n=3, seed=0, given={}, checkpoint="newest")
  assert tasks.draw_each(parsed.config, tmp_path, ["sample.scale=0,1,2.5"], **how) == 0
  assert "sample.scale=0; sample.scale=1; sample.scale=2.5" in capsys.readouterr().out
  (path,) = (tmp_path / "samples").glob("*scale*.npz")
  x = np.load(path)["x"]
  assert x.shape == (3, 3, toy.D)
  np.testing.assert_array_equal(x[:, 0], np.broadcast_to(x[0, 0], (3, toy.D)))
  np.testing.assert_allclose(x[:, 2] - x[:, 0], 2.5 * (x[:, 1] - x[:, 0]), rtol=1e-4)
  told = json.loads(path.with_suffix(".json").read_text())
  assert told["columns"] == [{"sample.scale": scale} for scale in ("0", "1", "2.5")]
  for sweep, message in (
    ("model.ema=0.5", "it takes options such as sample.steps"),
    ("sample.scal=1", "config.sample.scal does not exist"),
    ("sample.scale=much", "config.sample.scale must be a number"),
  ):
    with pytest.raises(UserError, match=message):
      tasks.draw_each(parsed.config, tmp_path, [sweep], **how)
