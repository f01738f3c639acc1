#!/usr/bin/env bash
# Checks the style and runs the tests, in an environment that the first start builds:
#
#   launch/test.sh [--accelerator=cpu|cuda12|cuda13|tpu] [--jax=0.11] [ARGUMENTS OF PYTEST]
#
# --jax takes the tests to another version of JAX, in an environment of its own.
if [ -z "${BASH_VERSION-}" ]; then exec bash "$0" "$@"; fi # sh launch/test.sh
set -euo pipefail +o posix

self=$(readlink -f "${BASH_SOURCE[0]:?start launch/test.sh by its path}")
# shellcheck source-path=SCRIPTDIR source=environment.sh
source "$(dirname "$self")/environment.sh"

venv=.venv pin=""
while (($#)); do
  if [[ $1 =~ ^--jax=([0-9]+(\.[0-9]+)+)$ ]]; then
    venv=.venv-jax${BASH_REMATCH[1]} pin="==${BASH_REMATCH[1]}.*"
  elif [[ $1 == --jax=* ]]; then
    fail "--jax takes a version such as 0.11, not '${1#*=}'"
  else
    eat_option "$1" || break
  fi
  shift
done
environment "$venv" "$pin"
"$python" -m ruff check
"$python" -m ruff format --check --quiet || fail "ruff format would change files: run $python -m ruff format"
exec "$python" -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder "$@"
