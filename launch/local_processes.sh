#!/usr/bin/env bash
# Runs gen_jax as several processes on this machine, which train as one:
#
#   launch/local_processes.sh N [--accelerator=cpu|cuda12|cuda13|tpu] --config configs/ddpm.py ...
#
# They meet at a free port of this machine and write to one run folder; the output is that of
# process 0, and the others' goes to <LOGS>/process-I.log, where LOGS is $GEN_JAX_LOGS or a new
# folder that is named at the end if one of them failed. Where there are GPUs, process I sees the
# I-th one. When one process ends badly, so do the others; the same command goes on from the last
# checkpoint. The exit status is that of the first process that failed.
if [ -z "${BASH_VERSION-}" ]; then exec bash "$0" "$@"; fi # sh launch/local_processes.sh
set -euo pipefail +o posix

self=$(readlink -f "${BASH_SOURCE[0]:?start launch/local_processes.sh by its path}")
# shellcheck source-path=SCRIPTDIR source=environment.sh
source "$(dirname "$self")/environment.sh"

[[ ${1-} =~ ^[1-9][0-9]*$ ]] || fail "usage: launch/local_processes.sh N --config FILE ..., not '${1-}'"
count=$1
shift
while (($#)) && eat_option "$1"; do shift; done
environment .venv ""

logs=${GEN_JAX_LOGS-$(mktemp -d "${TMPDIR:-/tmp}/gen_jax-processes.XXXXXX")}
mkdir -p "$logs"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export JAX_COORDINATOR_ADDRESS=127.0.0.1:$port JAX_NUM_PROCESSES=$count

grace=${GEN_JAX_GRACE-20} # seconds that the others have to end by themselves
pids=()
for ((i = 0; i < count; i++)); do
  export JAX_PROCESS_ID=$i
  if type -P nvidia-smi >/dev/null; then export JAX_LOCAL_DEVICE_IDS=$i; fi
  if ((i == 0)); then
    "$python" -m gen_jax.main --distributed "$@" &
  else
    "$python" -m gen_jax.main --distributed "$@" >"$logs/process-$i.log" 2>&1 &
  fi
  pids+=($!)
done
# A signal reaches all of them: they agree on the step at which they stop.
everyone() {
  local pid
  for pid in "${pids[@]}"; do
    if [[ -n $pid ]]; then kill "$1" "$pid" 2>/dev/null || true; fi
  done
}
trap 'everyone -TERM' TERM
trap 'everyone -INT' INT

status=0 left=$count deadline=""
while ((left)); do
  for ((i = 0; i < count; i++)); do
    if [[ -z ${pids[i]} ]] || kill -0 "${pids[i]}" 2>/dev/null; then continue; fi
    code=0
    wait "${pids[i]}" 2>/dev/null || code=$?
    pids[i]="" left=$((left - 1))
    if ((code == 0 || status)); then continue; fi
    status=$code
    if ((left && code > 128)); then
      note "process $i was killed by signal $((code - 128)): the others end too;" \
        "the same command goes on from the last checkpoint"
      deadline=$((SECONDS + grace))
    fi
  done
  if [[ -n $deadline ]] && ((SECONDS >= deadline)); then everyone -KILL; fi
  sleep 0.2 || true
done
if ((status && status != 75 && count > 1)); then
  note "the logs of processes 1 to $((count - 1)): $logs"
elif [[ -z ${GEN_JAX_LOGS-} ]]; then
  rm -r "$logs"
fi
exit "$status"
