"""The command line: config -> program -> train, sample, evaluate, export.

  python -m gen_jax.main --config configs/ddpm.py[:VARIANT] [--config.FIELD=VALUE ...]
                         [--workdir DIR] [--mode train|sample|evaluate|export|reconstruct|...]
  python -m gen_jax.main --config configs/NAME.py --sweep FIELD=VALUE,VALUE,... [--sweep ...]
  python -m gen_jax.main --list
  python -m gen_jax.main compare runs/a runs/b
  python -m gen_jax.main collage OUT.png runs/a runs/b

Running the same command again resumes. Exit status: 0 done, or stopped by SIGINT and saved; 1 a
metric became non-finite, or the disk is full; 2 the input was refused, in one line; 75 stopped by
SIGTERM and saved.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from logging import getLogger
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from gen_jax.app import cli
from gen_jax.core import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "config file, with :VARIANT if wanted")
WORKDIR = flags.DEFINE_string(
  "workdir", None, "run folder, or its URL; runs/<config>[-<variant>] by default"
)
USES = (
  "reconstruct", "transform", "interpolate", "traverse", "encode", "map", "codes", "probe",
  "neighbours", "density",
)  # fmt: skip
MODES = ("train", "sample", "evaluate", "export", "replay", *USES)
JOINT = ("train", "evaluate")  # what several processes do together
MODE = flags.DEFINE_enum("mode", "train", MODES, "what to do")
N = flags.DEFINE_integer("n", 100, "how many samples or examples")
SEED = flags.DEFINE_integer("seed", 0, "sample: seed of the samples")
LABEL = flags.DEFINE_integer("label", None, "sample: the class of all samples")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "which one to use")
INIT_FROM = flags.DEFINE_string("init_from", None, "train: run folder whose weights to start from")
DRY_RUN = flags.DEFINE_boolean("dry_run", False, "show parameters and memory, compile, stop")
SWEEP = flags.DEFINE_multi_string(
  "sweep", [], "train: FIELD=VALUE,VALUE,...: a run for each value, and a table; may be repeated"
)
DISTRIBUTED = flags.DEFINE_boolean(
  "distributed", False, "this is one of several processes of a job; see launch/"
)
LIST = flags.DEFINE_boolean("list", False, "list the systems and their variants")
PROFILE = flags.DEFINE_integer("profile", 0, "train: steps to trace into <workdir>/profile")
WANDB = flags.DEFINE_string("wandb", "", "train: W&B project to log to besides")


def use_compilation_cache() -> None:
  """Keeps compiled programs between runs, in $GEN_JAX_CACHE or ~/.cache/gen_jax."""
  import jax

  folder = os.environ.get("GEN_JAX_CACHE", os.path.expanduser("~/.cache/gen_jax"))
  jax.config.update("jax_compilation_cache_dir", folder)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def dispatch(argv: list[str]) -> int:
  """Does what the flags say; returns the exit status."""
  if argv[1:2] == ["compare"]:
    from gen_jax.report.compare import compare

    if len(argv) < 4:
      raise UserError("compare takes two run folders or more: compare runs/a runs/b")
    print(compare(argv[2:]))
    return 0
  if argv[1:2] == ["collage"]:
    from gen_jax.report.collage import collage

    if len(argv) < 4 or not argv[2].endswith(".png"):
      raise UserError("collage takes a picture to write and run folders: collage OUT.png runs/a")
    use_compilation_cache()
    print(collage(argv[3:], argv[2]))
    return 0
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}: the config is given as --config FILE")
  if LIST.value:
    print(cli.listing())
    return 0
  if DISTRIBUTED.value and (SWEEP.value or DRY_RUN.value or MODE.value not in JOINT):
    raise UserError("--distributed is for training and --mode=evaluate: leave it out")
  if SWEEP.value:
    return swept()
  if DISTRIBUTED.value:
    from gen_jax.run import processes

    processes.join()
  use_compilation_cache()
  from gen_jax import remote

  where = WORKDIR.value
  if CONFIG.value is None and (where is None or MODE.value == "train"):
    raise UserError("give --config configs/NAME.py[:VARIANT]; --list shows what there is")
  if where is None:
    where = cli.default_workdir(flags.FLAGS["config"].config_filename)
  if DRY_RUN.value and MODE.value == "train":
    from gen_jax.app import tasks

    return tasks.dry_run(CONFIG.value)
  with remote.opened(where) as workdir:
    return work(workdir)


def work(workdir: Path) -> int:
  """Does in a run folder what --mode says; returns the exit status."""
  from gen_jax.app import tasks

  config, mode = CONFIG.value, MODE.value
  if config is None:
    config = tasks.config_of(workdir)
  if mode == "sample":
    return tasks.sample(
      config, workdir, n=N.value, seed=SEED.value, label=LABEL.value, checkpoint=CHECKPOINT.value
    )
  if mode == "evaluate":
    return tasks.evaluate(config, workdir, train_judge, checkpoint=CHECKPOINT.value)
  if mode == "replay":
    return tasks.replay(config, workdir)
  if mode == "export":
    return tasks.export(config, workdir, checkpoint=CHECKPOINT.value)
  if mode in USES:
    return tasks.use(config, workdir, mode, n=N.value, checkpoint=CHECKPOINT.value)
  return tasks.train(
    config, workdir, train_judge, init_from=INIT_FROM.value, profile=PROFILE.value,
    wandb=WANDB.value,
  )  # fmt: skip


def swept() -> int:
  """A run for each combination of --sweep."""
  from gen_jax import remote
  from gen_jax.app import sweep

  if CONFIG.value is None or MODE.value != "train" or DRY_RUN.value:
    raise UserError("--sweep trains: it takes --config configs/NAME.py and no other mode")
  if remote.is_remote(WORKDIR.value or ""):
    raise UserError(f"--sweep needs a local --workdir, and {WORKDIR.value} is not one")
  file = flags.FLAGS["config"].config_filename
  workdir = Path(WORKDIR.value) if WORKDIR.value else cli.default_workdir(file)
  if WORKDIR.value is None:
    workdir = workdir.with_name(f"{workdir.name}-sweep")
  return sweep.sweep(file, SWEEP.value, workdir, sweep.shared_arguments(sys.argv))


def train_judge(source, experiment, mesh, workdir):
  """The classifier that measures ask, trained by the same trainer as everything else.

  Args:
    source: what it learns from.
    experiment: of the run that is measured: its seed, and `evaluate.classifier_steps`.
    mesh: the devices.
    workdir: a folder that it is kept in and read from again, or None.
  """
  from gen_jax import config as configs
  from gen_jax.models import classifier
  from gen_jax.report.measures import judge_of
  from gen_jax.run.folder import claim, locked
  from gen_jax.run.loop import train

  steps = experiment.evaluate.classifier_steps
  schedule = {"learning_rate": 2e-3, "schedule": "cosine", "decay_steps": steps}
  feed = dataclasses.asdict(experiment.feed) | {"batch_size": 128, "augment": ()}
  feed["batch_size"] = -(-feed["batch_size"] // mesh.size) * mesh.size
  config = configs.experiment(
    f"{classifier.__name__}.build",
    seed=experiment.config["seed"],
    model={"optimizer": schedule},
    data=experiment.data | feed,
    train={"steps": steps, "log_every": steps, "checkpoint_every": steps, "keep": 1},
  )
  parsed = configs.parse(config)
  program = configs.build(parsed.config, source.spec)
  sizes = {name: len(split) for name, split in source.splits.items()}
  if workdir is None:
    result = train(program, source, parsed, mesh=mesh)
  else:
    mark = configs.fingerprint(parsed.config, source.spec, sizes)
    folder = workdir / f"{source.name.replace(':', '-')}-{mark}-{steps}"
    with locked(folder, wait=True):
      claim(folder, parsed.config, source.spec, sizes)
      result = train(program, source, parsed, mesh=mesh, workdir=folder, fingerprint=mark)
  return judge_of(program.model, result.states, source.splits["test"].arrays())


def main(argv: list[str]) -> None:
  import jax

  from gen_jax.run.folder import unwritable
  from gen_jax.run.loop import NonFinite
  from gen_jax.run.signals import Stopped

  logging.set_verbosity(logging.WARNING)
  for name in ("absl", "asyncio"):
    getLogger(name).addFilter(worth_telling)
  try:
    code = dispatch(argv)
  except UserError as error:
    code = refuse(error)
  except NonFinite as error:
    print(f"gen_jax: stopped: {error}", file=sys.stderr)
    code = 1
  except Stopped as stop:
    print(f"gen_jax: stopped and saved at step {stop.step}; the same command goes on from there")
    code = stop.code
  except Exception as error:
    from gen_jax.run.processes import end, leave

    if reason := unwritable(error):
      print(
        f"gen_jax: stopped: a file cannot be written: {reason}. What was saved before is whole: the"
        " same command goes on from the last checkpoint",
        file=sys.stderr,
      )
      end(1)  # at once: the threads of a save that failed have no good end
    if jax.process_count() == 1:
      raise
    leave(error)
  sys.stdout.flush()
  sys.exit(code)


def worth_telling(record) -> bool:
  """Whether a line of the log is. Orbax warns of what is meant, such as reading only, and of its
  own deprecations; of a full disk each of its threads tells at length what one line says, and so
  do its reads of a damaged checkpoint's further arrays, where the first one's error is raised."""
  if record.name == "asyncio":
    return "exception was never retrieved" not in record.getMessage()  # of a task or a future
  if "orbax" not in record.pathname:
    return True
  from gen_jax.run.folder import unwritable

  return record.levelno >= 40 and not unwritable(record.exc_info[1] if record.exc_info else None)


def refuse(error: Exception) -> int:
  """Says what was wrong, in one line."""
  print(f"gen_jax: error: {' '.join(str(error).split())}", file=sys.stderr)
  return 2


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, with every refusal in one line."""
  try:
    cli.check_overrides(argv)
    return flags.FLAGS(argv)
  except (flags.Error, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
    sys.exit(refuse(error))


def run() -> None:
  """The console entry point."""
  app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
  run()
