"""The package, installed: its command and configs by name, from any folder."""

import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_package_trains_reports_and_loads(tmp_path):
  # The dependencies are those of this environment; the package comes from its wheel alone.
  venv.create(tmp_path / "env", with_pip=True)
  python = tmp_path / "env" / "bin" / "python"
  ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
  site = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
  (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
  source = tmp_path / "source"
  files = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True,
    text=True,
  ).stdout.split("\n")  # fmt: skip
  for name in filter(None, files):
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_bytes((ROOT / name).read_bytes())
  install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", source]
  subprocess.run(install, check=True)

  def run(*arguments):
    done = subprocess.run(
      [python.parent / arguments[0], *arguments[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  assert "gen_jax/config" in run("python", "-c", "import gen_jax.app.cli as c; print(c.CONFIGS)")
  assert str(ROOT) not in run("python", "-c", "import gen_jax; print(gen_jax.__file__)")
  assert ":mnist" in run("gen_jax", "--list")
  assert re.fullmatch(r"gen_jax \d+\.\d+\.\d+\n", run("gen_jax", "--version"))
  run("gen_jax", "--config", "vae:tiny")
  assert (tmp_path / "runs" / "vae-tiny" / "report.html").is_file()
  (tmp_path / "runs" / "vae-tiny" / "report.html").unlink()
  run("gen_jax", "--workdir", "runs/vae-tiny", "--mode=report")
  assert (tmp_path / "runs" / "vae-tiny" / "report.html").is_file()
  run("gen_jax", "--config", "vae:tiny", "--mode=export")
  load = "import gen_jax; model, states = gen_jax.load('runs/vae-tiny'); print(model.sample)"
  assert "function" in run("python", "-c", load)
