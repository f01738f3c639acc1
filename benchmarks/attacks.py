"""Run folders that were damaged or made by somebody else: what does the program do with them?

  python -m benchmarks.attacks [--flips 3000] [--seed 0] [--only records,files] [--workdir DIR]

trains a tiny PCA once, damages copies of its run folder, and uses each copy in the ways that users
have. An attack is held where every way ends well or is refused in one line (`UserError`), nothing
hangs, nothing outside of the folder changes, and training into it again comes to the same files or
says which one is lost. It writes attacks.json and attacks.md into the workdir.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gen_jax
from benchmarks.common import chosen, refusing, table
from benchmarks.kills import content, differences
from gen_jax.app import cli, tasks, training
from gen_jax.core import UserError
from gen_jax.main import use_compilation_cache
from gen_jax.report.collage import collage
from gen_jax.report.compare import compare
from gen_jax.run import folder
from gen_jax.run.files import write_json

PATIENCE = 120  # seconds that one use of a folder may take
CONFIG = "pca.py:tiny"
BUILDERS = (
  "subprocess.call", "subprocess.run", "os.system", "os.abort", "builtins.eval", "evil.payload",
  "gen_jax.models.gan.os.abort", "gen_jax.models.vae.Path", "gen_jax.app.tasks.export", "", 5,
)  # fmt: skip


def again(workdir: Path) -> None:
  training.train(cli.load_config(f"{cli.CONFIGS / CONFIG}"), workdir)


def draw(workdir: Path) -> None:
  config = tasks.config_of(workdir)
  tasks.draw(config, workdir, n=4, seed=0, given={}, checkpoint="newest")


def warm(workdir: Path) -> None:
  shutil.rmtree(workdir.parent / "warm", ignore_errors=True)
  config = cli.load_config(f"{cli.CONFIGS / CONFIG}")
  training.train(config, workdir.parent / "warm", init_from=str(workdir))


WAYS: dict[str, Callable[[Path], object]] = {
  "load": gen_jax.load,
  "sample": draw,
  "evaluate": lambda w: tasks.evaluate(tasks.config_of(w), w, checkpoint="newest"),
  "export": lambda w: tasks.export(tasks.config_of(w), w, checkpoint="newest"),
  "compare": lambda w: compare([w, w]),
  "collage": lambda w: collage([w], w.parent / "collage.png"),
  "init_from": warm,
  "train": again,
}


def emptied(path: Path) -> None:
  path.write_bytes(b"")


def cut(path: Path) -> None:
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
  path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def noise(path: Path) -> None:
  path.write_bytes(random.Random(0).randbytes(200))


def deleted(path: Path) -> None:
  path.unlink()


def a_folder(path: Path) -> None:
  path.unlink()
  path.mkdir()


def a_pipe(path: Path) -> None:
  path.unlink()
  os.mkfifo(path)


def a_link(path: Path) -> None:
  """Another file's, which is not to be written."""
  path.unlink()
  path.symlink_to(mine(path))


def mine(path: Path) -> Path:
  """A file beside the run folder that no use of it may change."""
  root = next(p for p in path.parents if (p / "mine").exists())
  return root / "mine"


def text(content: str) -> Callable[[Path], None]:
  def write(path: Path) -> None:
    path.write_text(content)

  write.__name__ = repr(content[:8])
  return write


DAMAGES = (
  emptied, cut, zeroed, flipped, noise, deleted, a_folder, a_pipe, a_link, text("5"), text("null"),
  text("[]"), text("{}"), text("[" * 100_000),
)  # fmt: skip
FILES = (
  "config.json", "metrics.jsonl", "evaluation.json", "provenance.json", "complete.json",
  "weights.safetensors", "curves.png", "samples/000012.png", ".lock",
)  # fmt: skip


class TooLong(BaseException):
  """A use of a folder that did not end."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
  def stop(number, frame):
    raise TooLong

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(PATIENCE)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def outcome(way: str, workdir: Path, whole: dict) -> str:
  """Empty where the use of a damaged folder is held; else what happened."""
  said = io.StringIO()
  try:
    with limited(), contextlib.redirect_stdout(said):
      WAYS[way](workdir)
  except UserError:
    return ""
  except TooLong:
    return "no end"
  except BaseException as error:
    return f"{type(error).__name__}: {str(error)[:80]}"
  if way == "train":
    lost = differences(whole, content(workdir))
    lost = [name for name in lost if name not in said.getvalue()]
    return f"other {', '.join(lost)}" if lost else ""
  return ""


class Bench:
  """A finished run, and copies of it to damage."""

  def __init__(self, root: Path, seed: int, flips: int):
    self.root, self.rng, self.flips = root, random.Random(seed), flips
    self.good = root / "good"
    if not (self.good / "complete.json").exists():
      shutil.rmtree(self.good, ignore_errors=True)
      again(self.good)
    self.whole = content(self.good)
    (root / "mine").write_text("mine")

  def copy(self) -> Path:
    shutil.rmtree(self.root / "copy", ignore_errors=True)
    shutil.copytree(self.good, self.root / "copy")
    return self.root / "copy"

  def tried(self, name: str, harm: Callable[[Path], None], ways=tuple(WAYS)) -> Iterator[tuple]:
    """(what was done and used, what went wrong) of one attack."""
    for way in ways:
      workdir = self.copy()
      harm(workdir)
      wrong = outcome(way, workdir, self.whole)
      if (self.root / "mine").read_text() != "mine":
        (self.root / "mine").write_text("mine")
        wrong = wrong or "a file outside of the folder was written"
      yield f"{name}, {way}", wrong

  def records(self) -> Iterator[tuple]:
    """Single bit flips of config.json, read."""
    path = self.copy() / "config.json"
    good = path.read_bytes()
    for _ in range(self.flips):
      data, at = bytearray(good), self.rng.randrange(8 * len(good))
      data[at // 8] ^= 1 << at % 8
      path.write_bytes(data)
      try:
        same = folder.recorded(path.parent)[0] == json.loads(good)
        yield f"bit {at}", "" if same else "accepted as another run"
      except UserError:
        yield f"bit {at}", ""
      except Exception as error:
        yield f"bit {at}", type(error).__name__

  def files(self) -> Iterator[tuple]:
    """Damages of every small file of a run folder, and what reads it."""
    ways = ("load", "sample", "compare", "train")
    for name in FILES:
      for damage in DAMAGES:
        if damage is flipped and not (self.good / name).stat().st_size:
          continue
        harm = lambda w, name=name, damage=damage: damage(w / name)
        yield from self.tried(f"{name} {damage.__name__}", harm, ways)

  def checkpoints(self) -> Iterator[tuple]:
    """Damages of every file of the newest checkpoint."""
    newest = max((self.good / "checkpoints").iterdir(), key=lambda p: int(p.name))
    for path in sorted(p for p in newest.rglob("*") if p.is_file()):
      name = path.relative_to(self.good)
      for damage in (emptied, cut, zeroed, flipped, deleted):
        if path.stat().st_size or damage is deleted:
          harm = lambda w, name=name, damage=damage: damage(w / name)
          yield from self.tried(f"{name} {damage.__name__}", harm, ("sample", "train"))

  def builders(self) -> Iterator[tuple]:
    """Folders that name a program to run, sealed as the program seals them."""
    for builder in BUILDERS:

      def harm(workdir, builder=builder):
        path = workdir / "config.json"
        record = json.loads(path.read_text())
        record["config"]["builder"] = builder
        path.write_text(json.dumps(record | {"digest": folder.digest_of(record)}))
        (workdir.parent / "evil.py").write_text("open('mine', 'w').write('run')")

      yield from self.tried(f"builder {builder!r}", harm)

  def links(self) -> Iterator[tuple]:
    """Folders of a run folder that are links to another."""
    for name in ("samples", "checkpoints", "damaged", "pictures", "failure", "checkpoints/12"):

      def harm(workdir, name=name):
        elsewhere, path = workdir.parent / "elsewhere", workdir / name
        shutil.rmtree(elsewhere, ignore_errors=True)
        if path.exists():
          path.rename(elsewhere)
        else:
          elsewhere.mkdir()
        path.symlink_to(elsewhere)
        (workdir / "complete.json").unlink()  # so that training has something to make

      for what, wrong in self.tried(f"{name} a link", harm):
        made = {p.name for p in (self.root / "elsewhere").iterdir()}
        was = (
          {p.name for p in (self.good / name).iterdir()} if (self.good / name).exists() else set()
        )
        yield what, wrong or ("something outside of the folder was changed" if made != was else "")


GROUPS = ("records", "files", "checkpoints", "builders", "links")


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit status: 1 where an attack is not held."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
  parser.add_argument("--flips", type=int, default=3000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/attacks"))
  options = parser.parse_args(argv)
  workdir = Path(os.path.abspath(options.workdir))
  workdir.mkdir(parents=True, exist_ok=True)
  sys.path.insert(0, str(workdir))  # where a hostile module would be found
  use_compilation_cache()
  bench, rows = Bench(workdir, options.seed, options.flips), {}
  for name in chosen(options.only, GROUPS):
    found = list(getattr(bench, name)())
    wrong = {what: how for what, how in found if how}
    rows[name] = {"tried": len(found), "held": len(found) - len(wrong), "wrong": wrong}
    write_json(workdir / "attacks.json", rows)
    print(name, rows[name], flush=True)
  lines = [(Bench.__dict__[k].__doc__.rstrip("."), r["tried"], r["held"]) for k, r in rows.items()]
  text = table(("group", "tried", "held"), lines)
  (workdir / "attacks.md").write_text(text)
  print(text, end="")
  return int(any(row["wrong"] for row in rows.values()))


if __name__ == "__main__":
  sys.exit(main())
