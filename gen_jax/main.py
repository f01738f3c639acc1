"""The command line: config -> program -> train, sample, evaluate, export.

  python -m gen_jax.main --config configs/ddpm.py[:VARIANT] [--config.FIELD=VALUE ...]
                         [--workdir DIR] [--mode train|sample|evaluate|export|reconstruct|...]
  python -m gen_jax.main --config configs/NAME.py --sweep FIELD=VALUE,VALUE,... [--sweep ...]
  python -m gen_jax.main --list      what there is; --config takes names too: ddpm:mnist
  python -m gen_jax.main compare [OUT.html] runs/a runs/b
  python -m gen_jax.main collage OUT.png runs/a runs/b
  python -m gen_jax.main results OUT.md runs/a runs/b

Running the same command again resumes. Exit status: 0 done, or training stopped by SIGINT and
saved; 1 a metric became non-finite, or a file cannot be written; 2 the input was refused, in one
line; 75 stopped by SIGTERM, and saved where there was a state; 130 stopped by SIGINT elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from logging import getLogger
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from gen_jax import early  # noqa: F401  first: signals and streams while the rest is imported
from gen_jax.app import cli, terminal
from gen_jax.core import UserError
from gen_jax.schema import Count, Seed, check

CONFIG = config_flags.DEFINE_config_file("config", None, "config file, with :VARIANT if wanted")
WORKDIR = flags.DEFINE_string(
  "workdir", None, "run folder, or its URL; runs/<config>[-<variant>] by default"
)
USES = (
  "reconstruct", "transform", "predict", "interpolate", "mix", "traverse", "encode", "map", "codes",
  "probe", "neighbours", "density", "dictionary",
)  # fmt: skip
MODES = ("train", "sample", "evaluate", "export", "replay", "report", "demo", *USES)
JOINT = ("train", "evaluate")  # what several processes do together
READING = ("sample", "evaluate", "export", "demo", *USES)  # what reads a checkpoint of a run
MODE = flags.DEFINE_enum("mode", "train", MODES, "what to do")
N = flags.DEFINE_integer("n", 100, "how many samples or examples")
SEED = flags.DEFINE_integer("seed", 0, "sample: seed of the samples")
LABEL = flags.DEFINE_string("label", None, "short for --cond.label")
INPUT = flags.DEFINE_string("input", None, "file or folder of examples of your own to work on")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "which one to use")
PORT = flags.DEFINE_integer("port", 7860, "demo: where on this machine the page is", 1024, 65535)
FORMAT = flags.DEFINE_enum(
  "format", "weights", ["weights", "stablehlo"], "export: with the compiled sampler besides"
)
INIT_FROM = flags.DEFINE_string("init_from", None, "train: run folder whose weights to start from")
DRY_RUN = flags.DEFINE_boolean("dry_run", False, "show parameters and memory, compile, stop")
SWEEP = flags.DEFINE_multi_string(
  "sweep",
  [],
  "train: FIELD=VALUE,VALUE,...: a run for each value, and a table; may be repeated. "
  "sample: of the options of sampling, a column for each",
)
DISTRIBUTED = flags.DEFINE_boolean(
  "distributed", False, "this is one of several processes of a job; see launch/"
)
LIST = flags.DEFINE_boolean("list", False, "list the systems and their variants")
VERSION = flags.DEFINE_boolean("version", False, "say which version this is")
PROFILE = flags.DEFINE_integer("profile", 0, "train: steps to trace into <workdir>/profile")
WANDB = flags.DEFINE_string("wandb", "", "train: W&B project to log to besides")
# Flag -> the modes that take it, and what does the same in the others.
TAKEN = {
  "n": (("sample", *USES), "set config.evaluate.samples"),
  "seed": (("sample",), "set config.seed"),
  "label": (("sample", *USES), "set data.only to learn from some classes"),
  "cond": (("sample", *USES), "set data.only to learn from some classes"),
  "input": (USES, "set data.path"),
  "checkpoint": (READING, "training goes on from the newest one"),
  "format": (("export",), "leave it out"),
  "port": (("demo",), "leave it out"),
  "init_from": (("train",), "give --workdir"),
  "dry_run": (("train",), "leave it out"),
  "sweep": (("train", "sample"), "leave it out"),
  "profile": (("train",), "leave it out"),
  "wandb": (("train",), "leave it out"),
  "distributed": (JOINT, "leave it out"),
}
GIVEN: dict[str, str] = {}  # the conditions --cond.FIELD=VALUE


def use_compilation_cache() -> None:
  """Keeps compiled programs between runs, in $GEN_JAX_CACHE or ~/.cache/gen_jax."""
  import jax

  folder = os.environ.get("GEN_JAX_CACHE", os.path.expanduser("~/.cache/gen_jax"))
  jax.config.update("jax_compilation_cache_dir", folder)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def dispatch(argv: list[str]) -> int:
  """Does what the flags say; returns the exit status."""
  if argv[1:2] == ["compare"]:
    from gen_jax.report.compare import compare
    from gen_jax.report.html import write_comparison

    page = argv[2] if argv[2:] and argv[2].endswith(".html") else None
    dirs = argv[3:] if page else argv[2:]
    if len(dirs) < 2:
      raise UserError("compare takes two run folders or more: compare runs/a runs/b")
    print(write_comparison(page, dirs) if page else compare(dirs))
    return 0
  if argv[1:2] == ["collage"]:
    from gen_jax.report.collage import collage

    if len(argv) < 4 or not argv[2].endswith(".png"):
      raise UserError("collage takes a picture to write and run folders: collage OUT.png runs/a")
    use_compilation_cache()
    print(collage(argv[3:], argv[2]))
    return 0
  if argv[1:2] == ["results"]:
    from gen_jax.report.results import results

    if len(argv) < 3 or not argv[2].endswith(".md"):
      raise UserError("results takes a page to write and run folders: results OUT.md runs/a runs/b")
    print(results(argv[2], argv[3:]))
    return 0
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}: the config is given as --config FILE")
  if LIST.value or VERSION.value:
    print(f"gen_jax {cli.version()}" if VERSION.value else cli.listing())
    return 0
  check_flags(MODE.value)
  if DISTRIBUTED.value and (SWEEP.value or DRY_RUN.value):
    raise UserError("--distributed is for training and --mode=evaluate: leave it out")
  if SWEEP.value and MODE.value == "train":
    return swept()
  if DISTRIBUTED.value:
    from gen_jax.run import processes

    processes.join()
  use_compilation_cache()
  from gen_jax import remote

  where = WORKDIR.value
  if CONFIG.value is None and (where is None or MODE.value == "train"):
    raise UserError("give --config configs/NAME.py[:VARIANT]; --list shows what there is")
  cli.check_workdir(where)
  if where is None:
    where = cli.default_workdir(flags.FLAGS["config"].config_filename)
  if DRY_RUN.value:
    from gen_jax.app.dry_run import dry_run

    return dry_run(CONFIG.value)
  with remote.opened(where) as workdir:
    return work(workdir)


def check_flags(mode: str) -> None:
  """Refuses flags that the mode does not take: nothing that is asked for is left undone."""
  asked = {name for name in TAKEN if name != "cond" and flags.FLAGS[name].present}
  asked |= {"cond"} if GIVEN else set()
  check(Count, N.value, "--n")
  check(Seed, SEED.value, "--seed")
  for name in sorted(asked):
    modes, instead = TAKEN[name]
    if mode not in modes:
      flag = f"--cond.{next(iter(GIVEN))}" if name == "cond" else f"--{name}"
      of = (
        " and ".join(f"--mode={m}" for m in modes)
        if len(modes) < 3
        else "modes such as " + modes[0]
      )
      raise UserError(f"{flag} is for {of}, not for --mode={mode}: {instead}")


def work(workdir: Path) -> int:
  """Does in a run folder what --mode says; returns the exit status."""
  from gen_jax.app import tasks, training

  config, mode = CONFIG.value, MODE.value
  given = GIVEN | ({} if LABEL.value is None else {"label": LABEL.value})
  if config is None:
    config = tasks.config_of(workdir)
  if mode == "train":
    return training.train(
      config, workdir, init_from=INIT_FROM.value, profile=PROFILE.value, wandb=WANDB.value
    )
  if mode == "replay":
    return tasks.replay_failure(config, workdir)
  if mode == "report":
    return tasks.report(workdir)
  which = {"checkpoint": CHECKPOINT.value}
  if mode == "sample":
    drawn = {"n": N.value, "seed": SEED.value, "given": given, **which}
    if SWEEP.value:
      return tasks.draw_each(config, workdir, SWEEP.value, **drawn)
    return tasks.draw(config, workdir, **drawn)
  if mode == "evaluate":
    return tasks.evaluate(config, workdir, **which)
  if mode == "demo":
    from gen_jax.app.demo import serve

    return serve(config, workdir, port=PORT.value, **which)
  if mode == "export":
    return tasks.export(config, workdir, **which, format=FORMAT.value)
  return tasks.use(config, workdir, mode, n=N.value, given=given, input=INPUT.value, **which)


def swept() -> int:
  """A run for each combination of --sweep."""
  from gen_jax import remote
  from gen_jax.app import sweep

  if CONFIG.value is None or DRY_RUN.value:
    raise UserError("--sweep trains: it takes --config configs/NAME.py and no --dry_run")
  if remote.is_remote(WORKDIR.value or ""):
    raise UserError(f"--sweep needs a local --workdir, and {WORKDIR.value} is not one")
  file = flags.FLAGS["config"].config_filename
  cli.check_workdir(WORKDIR.value)
  workdir = Path(WORKDIR.value).expanduser() if WORKDIR.value else cli.default_workdir(file)
  if WORKDIR.value is None:
    workdir = workdir.with_name(f"{workdir.name}-sweep")
  return sweep.sweep(file, SWEEP.value, workdir, sweep.shared_arguments(sys.argv))


def main(argv: list[str]) -> None:
  from gen_jax.run.signals import handled, interrupt

  sys.stdout, sys.stderr = terminal.Tolerant(sys.stdout), terminal.Tolerant(sys.stderr)
  logging.set_verbosity(logging.WARNING)
  for name in ("absl", "asyncio"):
    getLogger(name).addFilter(terminal.worth_telling)
  with handled(interrupt):
    code = ended(lambda: dispatch(argv))
  sys.stdout.flush()
  sys.exit(code)


def ended(work: Callable[[], int]) -> int:
  """Does the work; says in one line how it ended, where it did not end well. The exit status."""
  import jax

  from gen_jax.run.files import unwritable
  from gen_jax.run.job import NonFinite
  from gen_jax.run.memory import out_of_memory
  from gen_jax.run.processes import end, leave
  from gen_jax.run.signals import Interrupted, Stopped

  try:
    return work()
  except UserError as error:
    return terminal.refuse(error)
  except NonFinite as error:
    terminal.tell(f"stopped: {error}")
    return 1
  except Stopped as stop:
    print(f"gen_jax: stopped and saved at step {stop.step}; the same command goes on from there")
    return stop.code
  except KeyboardInterrupt as stop:
    signal = stop if isinstance(stop, Interrupted) else Interrupted(2)
    terminal.tell(
      f"stopped by {'Ctrl-C' if signal.number == 2 else 'SIGTERM'}; what was saved before is whole:"
      " the same command goes on from there"
    )
    end(signal.code)  # at once: what was going on has no state to save
  except Exception as error:
    if reason := unwritable(error):
      terminal.tell(
        f"stopped: a file cannot be read or written: {reason}. What was saved before is whole: once"
        " that is mended, the same command goes on from there"
      )
      end(1)  # at once: the threads of a save that failed have no good end
    if told := out_of_memory(error):
      terminal.tell(f"stopped: {told}")
      end(1)
    if jax.process_count() == 1:
      raise
    leave(error)


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, with every refusal in one line."""
  if {"--help", "-help", "-h"} & set(argv):
    own = [flag for flag in globals().values() if isinstance(flag, flags.FlagHolder)]
    print(cli.usage(__doc__, [flags.FLAGS[flag.name] for flag in own]))
    sys.exit(0)
  try:
    argv, given = cli.split_conditions(cli.named(argv))
    GIVEN.update(given)
    cli.check_overrides(argv)
    return flags.FLAGS(argv)
  except (flags.Error, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
    sys.exit(terminal.refuse(error))


def run() -> None:
  """The console entry point."""
  app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
  run()
