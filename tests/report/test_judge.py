"""The classifier that is kept: a cache, which is never trusted and never in the way."""

import json
import shutil

import numpy as np
import pytest

from gen_jax import config as configs
from gen_jax.core import Field, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.report import judge as judges
from gen_jax.run.signals import Stopped
from gen_jax.run.system import system_of
from tests.run import toy

SPEC = Spec.of((2,), None, 3)


def source():
  rng = np.random.default_rng(0)
  label = rng.integers(3, size=90).astype(np.int32)
  x = (3 * np.eye(3)[label][:, :2] + rng.normal(size=(90, 2))).astype(np.float32)
  split = ArraySplit({"x": x, "label": label})
  return Source("domains:points/of two", SPEC, {"train": split, "test": split})


@pytest.fixture
def train(mesh, tmp_path, monkeypatch):
  """() -> what a classifier gives; with the folder below which it is kept, and how often one was
  trained from its first step."""
  parsed = toy.experiment(evaluate={"classifier_steps": 4})
  program = configs.build(parsed.config, toy.SPEC)
  system = system_of(program, toy.source(), parsed, mesh)
  data, fresh = source(), []
  begin = judges.train

  def counted(judge, **kwargs):
    folder = kwargs.get("workdir")
    fresh.append(folder is None or not (folder / "checkpoints").exists())
    return begin(judge, **kwargs)

  monkeypatch.setattr(judges, "train", counted)

  def of(kept=tmp_path / "kept"):
    judge = judges.train_judge(system, data, kept)
    return judge.features(data.splits["test"].arrays()["x"])

  of.fresh, of.kept = fresh, tmp_path / "kept"
  return of


def damages():
  """name -> what is done to the folder that a classifier is kept in."""

  def checkpoint(folder):
    for path in (folder / "checkpoints").rglob("*"):
      if path.is_file():
        path.write_bytes(b"\0" * 7)

  def text(name, content):
    return lambda folder: (folder / name).write_bytes(content)

  def record(**changes):
    def change(folder):
      path = folder / "config.json"
      path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change

  def builder(folder):
    path = folder / "config.json"
    found = json.loads(path.read_text())
    found["config"]["builder"] = "tests.report.test_judge.never"
    path.write_text(json.dumps(found))

  def a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("no folder")

  def a_link(folder):
    elsewhere = folder.parent.parent / "elsewhere"
    shutil.rmtree(folder)
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("stays")
    folder.symlink_to(elsewhere)

  return {
    "checkpoints zeroed": checkpoint,
    "config emptied": text("config.json", b""),
    "config no object": text("config.json", b"[1]"),
    "config lost": lambda folder: (folder / "config.json").unlink(),
    "another fingerprint": record(fingerprint="0123456789abcdef"),
    "another version": record(config={"builder": "x"}),
    "another program": builder,
    "checkpoints a file": lambda folder: (
      shutil.rmtree(folder / "checkpoints"), (folder / "checkpoints").write_text("")
    ),
    "a file": a_file,
    "a link": a_link,
  }  # fmt: skip


def never(spec, **kwargs):
  raise AssertionError("a kept record named a program, and it was called")


def test_it_is_trained_once(train):
  first = train()
  np.testing.assert_array_equal(train(), first)
  assert train.fresh == [True, False]
  assert len(list(train.kept.iterdir())) == 1
  np.testing.assert_array_equal(train(None), first)


@pytest.mark.parametrize("name", damages())
def test_what_is_damaged_or_another_s_is_trained_anew(train, name, caplog):
  first = train()
  (folder,) = train.kept.iterdir()
  damages()[name](folder)
  np.testing.assert_array_equal(train(), first)
  assert train.fresh.count(True) == 2
  assert caplog.text.count("trained anew") == 1 and "Traceback" not in caplog.text
  np.testing.assert_array_equal(train(), first)
  assert train.fresh.count(True) == 2  # what is kept now is whole
  elsewhere = train.kept.parent / "elsewhere"
  assert not elsewhere.exists() or (elsewhere / "precious").read_text() == "stays"


@pytest.mark.parametrize("noise", [b"7\n[]\n", b"\xff\xfe\x00", b'{"stage": "x"}\n'])
def test_its_log_is_in_nobody_s_way(train, noise):
  first = train()
  (folder,) = train.kept.iterdir()
  (folder / "metrics.jsonl").write_bytes(noise)
  np.testing.assert_array_equal(train(), first)


def test_what_cannot_be_kept_is_trained_all_the_same(train, caplog):
  train.kept.write_text("a file where the folder should be")
  kept, free = train(), train(None)
  np.testing.assert_array_equal(kept, free)
  assert "not kept" in caplog.text


def test_a_signal_is_passed_on(train, monkeypatch):
  def stopped(judge, **kwargs):
    raise Stopped(15, 1)

  monkeypatch.setattr(judges, "train", stopped)
  with pytest.raises(Stopped):
    train()


def test_pixels_are_read_by_a_net_that_learns_which_colour_is_which_class(mesh):
  rng = np.random.default_rng(0)
  labels = rng.integers(3, size=(96, 8, 8)).astype(np.uint8)
  x = np.stack([100 * labels, 255 - 100 * labels, 0 * labels], -1).astype(np.uint8)
  field = Field((8, 8), 3, (), True)
  spec = Spec(Field((8, 8, 3), 256), {"segmentation": field})
  split = ArraySplit({"x": x, "segmentation": labels})
  data = Source("made", spec, {"train": split, "test": split})
  parsed = toy.experiment(evaluate={"classifier_steps": 40})
  program = configs.build(parsed.config, toy.SPEC)
  read = judges.train_segmenter(system_of(program, toy.source(), parsed, mesh), data, None)
  found = read(x[:70])
  assert found.shape == (70, 8, 8) and (found == labels[:70]).mean() > 0.6  # chance is 1/3
