"""The command line as a user meets it: real processes, real signals, real files."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import gen_jax
from tests.rows import rows

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "gen_jax.main"]
TINY = ["--config", "configs/ddpm.py:tiny"]
MEASURES = "--config.measures=('likelihood','memorisation')"


def start(*arguments, environment=(), before=()):
  kept = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return subprocess.Popen(
    [*before, *COMMAND, *map(str, arguments)], cwd=ROOT, env=kept | dict(environment), text=True,
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
  )  # fmt: skip


def run(*arguments, code=0):
  process = start(*arguments)
  out, err = process.communicate(timeout=280)
  assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
  assert "Traceback" not in err, err
  return out, err


def test_errors_of_reads_beside_the_one_that_is_raised_are_not_told():
  program = """
import asyncio, gc, logging
from gen_jax import main

async def read():
  raise ValueError("of an array")

async def reads():
  task, future = asyncio.ensure_future(read()), asyncio.get_running_loop().create_future()
  future.set_exception(ValueError("of another"))
  await asyncio.sleep(0)

def dispatch(argv):
  asyncio.run(reads())
  gc.collect()
  logging.getLogger("asyncio").error("something else")
  return 0

main.dispatch = dispatch
main.main([])
"""
  done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
  (line,) = done.stderr.splitlines()
  assert done.returncode == 0 and line.endswith("something else")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The run folder of an uninterrupted run."""
  workdir = tmp_path_factory.mktemp("runs") / "tiny"
  out, _ = run(*TINY, MEASURES, "--workdir", workdir)
  assert "bits_per_dim" in out
  return workdir


def test_a_run_folder_holds_what_it_should(finished):
  names = {p.name for p in finished.iterdir()}
  assert {
    "config.json", "metrics.jsonl", "evaluation.json", "provenance.json", "curves.png", "samples",
    "checkpoints", "weights.safetensors",
  } <= names  # fmt: skip
  assert any(name.startswith("events.out.tfevents") for name in names)
  assert (finished / "samples" / "000008.png").exists()
  with Image.open(finished / "samples" / "trajectory.gif") as gif:
    assert gif.n_frames > 1
  for name, record in json.loads((finished / "evaluation.json").read_text()).items():
    assert {"value", "examples", "split", "step"} <= record.keys(), name
  assert [r["step"] for r in rows(finished) if "split" not in r] == [2, 4, 6, 8]


def test_sigkill_and_again_is_the_uninterrupted_run(finished, tmp_path):
  workdir = tmp_path / "killed"
  process = start(*TINY, MEASURES, "--workdir", workdir)
  deadline = time.monotonic() + 200
  while not (workdir / "checkpoints" / "4").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert process.returncode == -signal.SIGKILL
  assert not (workdir / "evaluation.json").exists()
  out, _ = run(*TINY, MEASURES, "--workdir", workdir)
  assert "going on from step" in out
  assert rows(workdir) == rows(finished)
  for name in ("evaluation.json", "weights.safetensors", "samples/000008.png"):
    assert (workdir / name).read_bytes() == (finished / name).read_bytes(), name
  assert len(json.loads((workdir / "provenance.json").read_text())) == 2


def test_a_complete_run_says_so_and_is_left_alone(finished):
  before = {p: p.stat().st_mtime_ns for p in finished.rglob("*.png")}
  out, _ = run(*TINY, MEASURES, "--workdir", finished)
  assert "complete at step 8" in out and "--config.train.steps=16" in out
  assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*.png")}


def test_samples_do_not_depend_on_how_many_are_drawn(finished):
  command = [*TINY, "--workdir", finished, "--mode=sample", "--seed=7"]
  run(*command, "--n=12")
  many = finished / "samples" / "seed7-n12.npz"
  first = {p: p.read_bytes() for p in (many, many.with_suffix(".png"), many.with_suffix(".gif"))}
  run(*command, "--n=12")
  assert first == {p: p.read_bytes() for p in first}
  run(*command, "--n=5")
  few = np.load(finished / "samples" / "seed7-n5.npz")
  np.testing.assert_array_equal(np.load(many)["x"][:5], few["x"])
  run("--workdir", finished, "--mode=sample", "--n=3", "--label=4")
  assert (np.load(finished / "samples" / "seed0-n3-label4.npz")["label"] == 4).all()


def test_load_samples_in_three_lines(finished):
  import jax

  model, state = gen_jax.load(finished, sample=dict(steps=2))
  keys = jax.random.split(jax.random.key(0), 4)
  x = model.sample(state, keys, {"label": np.arange(4)})
  assert x.shape == (4, 8, 8, 1) and x.dtype == np.uint8


def test_evaluate_redoes_the_figures(finished):
  path = finished / "evaluation.json"
  before = path.read_bytes()
  path.unlink()
  run(*TINY, MEASURES, "--workdir", finished, "--mode=evaluate")
  assert path.read_bytes() == before
  out, _ = run(
    *TINY, "--workdir", finished, "--mode=evaluate", "--config.sample.steps=2",
    "--config.measures=('memorisation',)",
  )  # fmt: skip
  assert "of test, steps 2" in out
  mixed = json.loads(path.read_text())
  assert mixed["nearest_train_ratio"]["options"] == {"steps": 2}
  assert "options" not in mixed["bits_per_dim"]
  path.write_bytes(before)


def test_compare_export_list_and_dry_run(finished, tmp_path):
  out, _ = run("compare", finished, finished)
  assert "bits_per_dim" in out
  out, _ = run("--workdir", finished, "--mode=export", "--format=stablehlo")
  assert "samples at once, on cpu, cuda, rocm, tpu" in out
  there = tmp_path / "elsewhere" / "given"
  shutil.copytree(finished / "export", there)
  assert (there / "weights.safetensors").read_bytes() == (
    finished / "weights.safetensors"
  ).read_bytes()
  _, front, text = (there / "README.md").read_text().split("---\n", 2)
  (entry,) = yaml.safe_load(front)["model-index"]
  metrics = {m["name"]: m["value"] for m in entry["results"][0]["metrics"]}
  measured = json.loads((finished / "evaluation.json").read_text())["bits_per_dim"]["value"]
  assert metrics["bits_per_dim"] == measured
  assert "![what the model made](grid.png)" in text
  Image.open(there / "grid.png").verify()
  for folder in (finished, there):
    run("--workdir", folder, "--mode=sample", "--n=3", "--seed=5")
  drawn = [np.load(folder / "samples" / "seed5-n3.npz")["x"] for folder in (finished, there)]
  np.testing.assert_array_equal(*drawn)
  # In a process without gen_jax, the sampler draws the same bytes, in chunks of the same size.
  cond = {k: v for k, v in np.load(there / "samples" / "seed5-n3.npz").items() if k != "x"}
  np.savez(tmp_path / "cond.npz", **{k: np.repeat(v, [1, 1, 38]) for k, v in cond.items()})
  program = f"""
import sys
sys.modules["gen_jax"] = None
import jax.export, numpy as np
sampler = jax.export.deserialize(open({str(there / "sampler.stablehlo")!r}, "rb").read())
cond = dict(np.load({str(tmp_path / "cond.npz")!r}))
x = sampler.call(np.uint32(5), np.arange(40, dtype=np.int32), cond)
np.save({str(tmp_path / "x.npy")!r}, x)
"""
  subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
  np.testing.assert_array_equal(np.load(tmp_path / "x.npy")[:3], drawn[0])
  _, err = run(*TINY, "--workdir", there, code=2)
  assert "is an export" in err and "--init_from" in err
  out, _ = run("--list")
  assert "configs/ddpm.py" in out and ":cifar10" in out
  out, _ = run("--help")
  assert len(out.splitlines()) <= 40 and "--mode=train" in out and "density, dictionary" in out
  out, _ = run(*TINY, "--dry_run", "--workdir", tmp_path / "none")
  assert "params.unet.Conv_0.kernel" in out and "workspace" in out
  assert not (tmp_path / "none").exists()


def test_sigterm_saves_and_asks_to_be_started_again(tmp_path):
  workdir = tmp_path / "stopped"
  process = start(*TINY, "--workdir", workdir, "--config.train.steps=200000")
  deadline = time.monotonic() + 200
  while not (workdir / "checkpoints" / "8").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 75, err
  assert "stopped and saved at step" in out


def broken_png(folder):
  folder.mkdir()
  pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
  for i in range(20):
    Image.fromarray(pixels).save(folder / f"{i}.png")
  data = (folder / "7.png").read_bytes()
  (folder / "7.png").write_bytes(data[: len(data) // 2])
  return folder


FOLDER = ["--config", "configs/ddpm.py:folder"]
REFUSALS = {
  "field": ([*TINY, "--config.model.widht=3"], "config.model.widht does not exist; did you"),
  "value": ([*TINY, "--config.train.steps=ten"], "ten"),
  "literal": ([*TINY, "--config.model.schedule=cosin"], "config.model.schedule must be one of"),
  "variant": (["--config", "configs/ddpm.py:digit"], "did you mean digits"),
  "config": (["--config", "configs/dppm.py"], "no config file configs/dppm.py; did you mean ddpm"),
  "flag": ([*TINY, "--wrokdir=x"], "wrokdir"),
  "no config": ([], "give --config"),
  "missing folder": ([*FOLDER, "--config.data.path=/no/such/folder"], "/no/such/folder"),
  "empty folder": ([*FOLDER, "--config.data.path={empty}"], "no image"),
  "truncated": ([*FOLDER, "--config.data.path={broken}"], "7.png"),
  "other config": (
    [*TINY, "--workdir", "{finished}", "--config.model.width=16"],
    "belongs to another config (model.width 8 there, 16 here)",
  ),
  "label": (
    ["--workdir", "{finished}", "--mode=sample", "--label=10"], "--cond.label must lie in 0..9",
  ),
  "n": (["--workdir", "{finished}", "--mode=sample", "--n=0"], "--n must be 1 or more, not 0"),
  "no run": (["--workdir", "/no/such/run", "--mode=sample"], "/no/such/run"),
  "interval": ([*TINY, "--config.train.steps_per_call=3"], "steps_per_call=3 must divide"),
  "measure": ([*TINY, "--config.measures=('fid',)"], "no measure 'fid'"),
  "best": ([*TINY, "--config.train.best=nll"], "config.train.best='nll' is no term of evaluation"),
  "sweep": ([*TINY, "--sweep", "seed"], "give FIELD=VALUE,VALUE,..."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_input_is_refused_in_one_line(case, finished, tmp_path):
  arguments, message = REFUSALS[case]
  (tmp_path / "empty").mkdir()
  places = {"finished": finished, "empty": tmp_path / "empty"}
  if case == "truncated":
    places["broken"] = broken_png(tmp_path / "broken")
  arguments = [a.format(**places) for a in arguments]
  if arguments and "--workdir" not in arguments:
    arguments += ["--workdir", str(tmp_path / "run")]
  _, err = run(*arguments, code=2)
  lines = err.strip().splitlines()
  assert len(lines) == 1 and lines[0].startswith("gen_jax: error: "), err
  assert message in lines[0], err
  assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_full_disk_is_told_in_one_line_and_harms_nothing(tmp_path):
  workdir = tmp_path / "run"
  command = ("--config=configs/gmm.py:tiny", f"--workdir={workdir}")
  full = ["bash", "-c", 'ulimit -f 30 && exec "$@"', "-"]  # no file beyond 30 kB
  process = start(*command, environment={"GEN_JAX_CACHE": ""}, before=full)
  _, err = process.communicate(timeout=280)
  assert process.returncode == 1, err
  assert err.count("\n") == 1 and "a file cannot be read or written: File too large" in err
  run(*command)
  assert [r["step"] for r in rows(workdir) if "split" not in r] == [2, 4, 6, 8, 10, 12]
  assert (workdir / "weights.safetensors").exists() and (workdir / "evaluation.json").exists()


def test_sweep(tmp_path):
  arguments = ("--config", "configs/pca.py:tiny", "--sweep", "model.components=2,3")
  out, _ = run(*arguments, "--workdir", tmp_path / "s")
  assert "| model.components | runs |" in out
  table = json.loads((tmp_path / "s" / "sweep.json").read_text())
  assert [row["fields"]["model.components"] for row in table] == ["2", "3"]
  assert table[0]["figures"]["squared_error"]["mean"] > table[1]["figures"]["squared_error"]["mean"]
  again, _ = run(*arguments, "--workdir", tmp_path / "s")
  assert again.count("is complete") == 2


def test_output_whose_reader_leaves_ends_nothing(tmp_path):
  def piped(arguments, reader):
    line = f"{shlex.join([*COMMAND, '--config', 'configs/pca.py:tiny', *arguments])} | {reader}"
    shell = ["bash", "-c", f"{line}; echo ${{PIPESTATUS[0]}}"]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    return done.stdout.splitlines()

  first, status = piped(["--dry_run"], "head -n 1")
  assert first.startswith("data ") and status == "0"
  # A run goes on to its end.
  assert piped(["--workdir", str(tmp_path / "run")], "true") == ["0"]
  assert (tmp_path / "run" / "evaluation.json").exists()
