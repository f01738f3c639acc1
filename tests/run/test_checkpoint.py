"""Checkpoints: what comes back is what was saved, or is told from it."""

import gc
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.run import checkpoint
from gen_jax.run.checkpoint import Checkpoints, Damaged
from gen_jax.run.mesh import make_mesh, placed
from tests.run.toy import equal

# Where one read fails, orbax leaves the others unfinished behind.
pytestmark = [
  pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
  pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
]


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind():
  yield
  gc.collect()


def state(step=0):
  """Arrays of every type that models keep; 4 KiB of them that do not compress."""
  rng = np.random.default_rng(step)
  return {
    "weights": jnp.asarray(rng.normal(size=1024), jnp.float32),
    "half": [jnp.asarray(rng.normal(size=(3, 5)), jnp.bfloat16)],
    "counts": (jnp.int32(step), jnp.asarray(rng.integers(0, 2**32, 4, np.uint32))),
    "odd": jnp.array([jnp.nan, -0.0, jnp.inf], jnp.float32),
    "flag": jnp.array([True, False]),
  }


def abstract(meta):
  return placed(state(), make_mesh(jax.devices()[:1]))


def meta_of(step):
  return {"stage": 0, "step": step, "attempt": 0, "terms": ["loss"], "fingerprint": "f"}


def save(folder, steps, keep=2, scores=None):
  saved = Checkpoints(folder, keep=keep)
  for step in steps:
    score = None if scores is None else scores[step]
    saved.save(step, state(step), meta_of(step), score)
  saved.close()
  return folder


def read(folder, **kwargs):
  return Checkpoints(folder, writable=False, **kwargs)


@pytest.fixture
def warnings(monkeypatch):
  """What this module warns of; orbax has warnings of its own."""
  said = []
  note = lambda text, *args: said.append(text % args)
  monkeypatch.setattr(checkpoint, "logging", types.SimpleNamespace(warning=note))
  return said


def test_every_bit_comes_back(tmp_path):
  save(tmp_path / "c", [3])
  found, meta = read(tmp_path / "c").restore_newest(abstract)
  equal(found, state(3))
  assert (meta["stage"], meta["step"], meta["terms"], meta["best"]) == (0, 3, ["loss"], None)
  assert np.signbit(found["odd"][1])


def test_onto_eight_devices(tmp_path):
  save(tmp_path / "c", [3])
  everywhere = make_mesh()
  found, _ = read(tmp_path / "c").restore_newest(lambda meta: placed(state(), everywhere))
  equal(found, state(3))
  assert len(found["weights"].sharding.device_set) == len(jax.devices()) == 8


def test_the_newest_and_the_best_are_kept(tmp_path):
  scores = {1: 5.0, 2: 1.5, 3: 4.0, 4: None, 5: 2.0, 6: 3.0}
  saved = read(save(tmp_path / "c", range(1, 7), keep=2, scores=scores))
  assert saved.steps() == [2, 5, 6]
  assert saved.best_step() == 2
  equal(saved.restore(2, abstract)[0], state(2))
  unscored = read(save(tmp_path / "d", range(1, 5), keep=1))
  assert unscored.steps() == [4] and unscored.best_step() is None


def test_the_arrays_may_be_given_away_once_saved(tmp_path):
  saved = Checkpoints(tmp_path / "c")
  given = state(1)
  saved.save(1, given, meta_of(1))
  jax.jit(lambda s: jax.tree.map(lambda x: x + x, s), donate_argnums=0)(given)
  saved.close()
  equal(read(tmp_path / "c").restore(1, abstract)[0], state(1))


def largest(folder):
  """The file with most of the bytes of the arrays in it."""
  files = [p for p in (folder / "state").rglob("*") if p.is_file()]
  return max(files, key=lambda p: p.stat().st_size)


def truncate(folder):
  path = largest(folder)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete(folder):
  largest(folder).unlink()


def flip(path):
  """One bit in the middle of a file."""
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def flip_bit(folder):
  flip(largest(folder))


def change_record(folder):
  path = folder / "meta" / "metadata"
  text = path.read_text()
  assert '"step": 9' in text or '"step":9' in text
  path.write_text(text.replace('"step": 9', '"step": 8').replace('"step":9', '"step":8'))


def empty_record(folder):
  (folder / "meta" / "metadata").write_text("")


@pytest.mark.parametrize("damage", [truncate, delete, flip_bit, change_record, empty_record])
def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(tmp_path, warnings, damage):
  folder = save(tmp_path / "c", [7, 9])
  damage(folder / "9")

  reader = read(folder)
  found, meta = reader.restore_newest(abstract)
  equal(found, state(7))
  assert meta["step"] == 7
  assert len(warnings) == 1 and f"checkpoint 9 in {folder} is damaged (" in warnings[0]
  assert "\n" not in warnings[0]
  assert sorted(p.name for p in folder.iterdir()) == ["7", "9"]  # reading moves nothing

  saved = Checkpoints(folder)
  equal(saved.restore_newest(abstract)[0], state(7))
  assert saved.steps() == [7]
  assert [p.name for p in (tmp_path / "damaged").iterdir()] == ["9"]
  saved.save(9, state(9), meta_of(9))  # its place is free again
  saved.close()
  equal(read(folder).restore(9, abstract)[0], state(9))


@pytest.mark.parametrize("writable", [False, True])
def test_if_all_are_damaged_the_user_is_told_and_they_stay(tmp_path, warnings, writable):
  folder = save(tmp_path / "c", [7, 9])
  for step in ("7", "9"):
    flip_bit(folder / step)
  for _ in range(2):  # a second try finds the same, and does not begin from nothing
    with pytest.raises(UserError, match="every checkpoint in .* is damaged"):
      Checkpoints(folder, writable=writable).restore_newest(abstract)
  assert sorted(p.name for p in folder.iterdir()) == ["7", "9"]
  assert len(warnings) == 4


def test_the_best_is_found_among_those_that_can_be_read(tmp_path, warnings):
  folder = save(tmp_path / "c", [1, 2, 3], keep=3, scores={1: 1.0, 2: 0.5, 3: 2.0})
  empty_record(folder / "2")
  assert read(folder).best_step() == 1
  assert len(warnings) == 1


def test_another_model_s_checkpoint_is_no_damage(tmp_path, warnings):
  folder = save(tmp_path / "c", [1])
  wider = lambda meta: {**abstract(meta), "weights": jax.ShapeDtypeStruct((7,), jnp.float32)}
  more = lambda meta: {**abstract(meta), "bias": jax.ShapeDtypeStruct((), jnp.float32)}
  saved = Checkpoints(folder)
  with pytest.raises(UserError, match=r"\['weights'\] is \(1024,\) float32 there, \(7,\) float32"):
    saved.restore_newest(wider)
  with pytest.raises(UserError, match=r"\['bias'\] is missing there, \(\) float32 here"):
    saved.restore_newest(more)

  def broken(meta):
    raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):  # a fault of the program is not the checkpoint's either
    saved.restore_newest(broken)
  assert saved.steps() == [1] and not warnings and not (tmp_path / "damaged").exists()


def test_a_save_that_was_cut_off_is_no_checkpoint(tmp_path, warnings):
  folder = save(tmp_path / "c", [7])
  half = folder / "9.orbax-checkpoint-tmp-123"
  (half / "state").mkdir(parents=True)
  (half / "state" / "manifest.ocdbt").write_bytes(b"half")
  assert read(folder).steps() == [7] and half.exists()
  saved = Checkpoints(folder)
  assert saved.steps() == [7]
  equal(saved.restore_newest(abstract)[0], state(7))
  saved.save(9, state(9), meta_of(9))
  saved.close()
  assert read(folder).steps() == [7, 9] and not half.exists()
  assert not warnings


def test_reading_writes_nothing(tmp_path):
  folder = save(tmp_path / "c", [1, 2, 3], keep=3)
  look = lambda: {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
  before = look()
  reader = read(folder, keep=1)
  reader.restore_newest(abstract)
  reader.close()
  assert look() == before
  with pytest.raises(UserError, match="does not exist: there is no checkpoint to read"):
    read(tmp_path / "none")
  assert not (tmp_path / "none").exists()


def test_a_folder_without_checkpoints_has_no_newest(tmp_path):
  assert Checkpoints(tmp_path / "c").restore_newest(abstract) is None


def test_no_flipped_bit_in_any_file_is_taken_for_the_state(tmp_path):
  whole = save(tmp_path / "whole", [1])
  files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
  refused = 0
  for i, file in enumerate(files):
    folder = tmp_path / str(i)
    shutil.copytree(whole, folder)
    flip(folder / file)
    try:
      found, meta = read(folder).restore_newest(abstract)
    except UserError:
      refused += 1
    else:
      equal(found, state(1))
      assert meta["step"] == 1
  assert refused >= 3  # the record, the description of the arrays, the arrays


def test_damage_names_the_array(tmp_path):
  folder = save(tmp_path / "c", [1])
  flip_bit(folder / "1")
  with pytest.raises(Damaged, match="weights"):
    read(folder).restore(1, abstract)


def test_a_checkpoint_that_training_deletes_while_it_is_read_is_not_damaged(tmp_path, warnings):
  folder = save(tmp_path / "c", [7, 9])
  reader = read(folder)
  real, reads = reader.restore, []

  def restore(step, abstract):
    reads.append(step)
    if len(reads) == 1:  # training goes on: 11 is saved, 7 and 9 go
      save(folder, [11], keep=1)
    return real(step, abstract)

  reader.restore = restore
  found, meta = reader.restore_newest(abstract)
  assert meta["total"] == 11 and reads[0] == 9 and not warnings
  equal(found, state(11))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
  folder = save(tmp_path / "c", [7])
  assert read(folder, fingerprint="f").restore_newest(abstract)[1]["total"] == 7
  with pytest.raises(UserError, match="is another run's than config.json beside it"):
    read(folder, fingerprint="g").restore_newest(abstract)


@pytest.mark.parametrize("name", list(checkpoint.RECORD))
@pytest.mark.parametrize("value", [None, 1.5])
def test_a_record_that_is_sealed_and_lacks_something_is_damage(tmp_path, name, value, monkeypatch):
  folder = save(tmp_path / "c", [7])
  reader = read(folder)
  meta = reader.manager.restore(7, args=checkpoint.ocp.args.Composite(
    meta=checkpoint.ocp.args.JsonRestore()))["meta"]  # fmt: skip
  meta = {k: v for k, v in meta.items() if k != "digest"} | {name: value}
  sealed = meta | {"digest": checkpoint.digest_of_record(meta)}
  monkeypatch.setattr(reader.manager, "restore", lambda step, args: {"meta": sealed})
  with pytest.raises(Damaged, match=f"its record has no {name}"):
    reader.meta(7)


@pytest.mark.parametrize("link", ["c", "damaged", "damaged/7", "c/7"])
def test_nothing_outside_of_a_run_folder_is_written_or_removed_through_a_link(tmp_path, link):
  elsewhere = tmp_path / "elsewhere"
  save(elsewhere, [7])
  run = tmp_path / "run"
  (run / link).parent.mkdir(parents=True)
  (run / link).symlink_to(elsewhere)
  with pytest.raises(UserError, match="is a link out of the run folder"):
    Checkpoints(run / "c")
  assert (elsewhere / "7").is_dir()
