#!/usr/bin/env bash
# Trains on a Cloud TPU slice: all its hosts are one job.
#
#   PROJECT=my-project ZONE=us-west4-a BUCKET=gs://my-bucket \
#     launch/tpu_pod.sh NAME --config configs/ddpm.py:cifar10 [--config.FIELD=VALUE ...]
#
# Makes the slice NAME, or takes the one there is; copies the checked-out commit to every host; makes
# the environment there; and runs the job on all hosts at once, with the run folder
# $BUCKET/runs/NAME (an argument --workdir=gs://... names another). You see the output of worker 0;
# every worker's own is in ~/gen_jax.log on it. The same command again resumes from the last
# checkpoint: after a preemption, after an interruption, or with other arguments that a run allows.
#
# Needs the Google Cloud CLI, logged in, with the TPU API enabled in the project, and a bucket that
# the slice's service account may write. Further settings, by environment:
#   TYPE      accelerator type                       v5litepod-16
#   RUNTIME   software version                       v2-alpha-tpuv5-lite
#   SPOT      1: a spot slice, cheap, preemptible    0
#   WAIT      minutes to wait for the slice          60
#   DELETE    1: give the slice back at the end      0
#
# It costs money until the slice is deleted:
#   gcloud compute tpus queued-resources delete NAME --zone=$ZONE --project=$PROJECT --force
#
# This script has been run against a stand-in of gcloud only (tests/test_launchers.py), never
# against Google Cloud.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"; }
refuse() {
  echo "launch/tpu_pod.sh: error: $*" >&2
  exit 2
}

case "${1:-}" in
  -h | --help | "") usage && exit 0 ;;
  -*) refuse "the slice's name comes first, not $1" ;;
esac
name=$1
shift
for setting in PROJECT ZONE BUCKET; do
  [ -n "${!setting:-}" ] || refuse "set $setting; see launch/tpu_pod.sh --help"
done
[[ $BUCKET == gs://?* ]] || refuse "BUCKET must be gs://..., not $BUCKET"
command -v gcloud >/dev/null || refuse "the Google Cloud CLI is missing: https://cloud.google.com/sdk"
type=${TYPE:-v5litepod-16} runtime=${RUNTIME:-v2-alpha-tpuv5-lite} minutes=${WAIT:-60}
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
place=(--zone="$ZONE" --project="$PROJECT")

state() {
  gcloud compute tpus queued-resources describe "$name" "${place[@]}" --format="value(state.state)" \
    2>/dev/null || echo NONE
}

remove() {
  gcloud compute tpus queued-resources delete "$name" "${place[@]}" --force --quiet
}

request() {
  local spot=()
  [ "${SPOT:-0}" = 1 ] && spot=(--spot)
  gcloud compute tpus queued-resources create "$name" "${place[@]}" --node-id="$name" \
    --accelerator-type="$type" --runtime-version="$runtime" ${spot[@]+"${spot[@]}"}
}

# A request that has failed, or whose slice was taken away, is made anew.
case "$(state)" in
  NONE) request ;;
  FAILED | SUSPENDING | SUSPENDED) remove; request ;;
esac
for ((i = 0; ; i++)); do
  now=$(state)
  case $now in
    ACTIVE) break ;;
    FAILED | SUSPENDED)
      refuse "the request for $name is $now; it is explained by: gcloud compute tpus" \
        "queued-resources describe $name ${place[*]}"
      ;;
  esac
  ((i < minutes)) || refuse "$name is still $now after $minutes minutes; the same command waits on"
  echo "$name is $now"
  sleep "${TICK:-60}"
done

on_all() { # COMMAND: on every worker
  gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --worker=all --command="$1"
}

archive=$(mktemp -d)
trap 'rm -rf "$archive"' EXIT
git -C "$root" archive --format=tar.gz --output="$archive/gen_jax.tar.gz" HEAD
gcloud compute tpus tpu-vm scp "$archive/gen_jax.tar.gz" "$name:gen_jax.tar.gz" "${place[@]}" \
  --worker=all

# The images of TPU hosts have an older Python than this needs: uv brings one.
# shellcheck disable=SC2016 # for the workers' shells
on_all 'set -e
mkdir -p gen_jax && tar -xzf gen_jax.tar.gz -C gen_jax && cd gen_jax
if ! command -v python3.12 python3.13 python3.14 >/dev/null; then
  command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
  PATH=$HOME/.local/bin:$PATH uv python install 3.13
fi
PATH=$HOME/.local/bin:$PATH ./launch/run.sh --accelerator=tpu --list >/dev/null
.venv/bin/python -m pip install --quiet gcsfs'

workdir=(--workdir="$BUCKET/runs/$name")
for argument in "$@"; do
  case $argument in --workdir | --workdir=*) workdir=() ;; esac
done
arguments=$(printf ' %q' ${workdir[@]+"${workdir[@]}"} "$@")
number=http://metadata.google.internal/computeMetadata/v1/instance/attributes/agent-worker-number
# A job that an interruption here left behind holds the chips: it ends first.
status=0
on_all "set -o pipefail
pkill -TERM -f '[g]en_jax[.]main' && sleep 60
pkill -KILL -f '[g]en_jax[.]main'
shown=/dev/null
[ \"\$(curl -s -H Metadata-Flavor:Google $number)\" = 0 ] && shown=/dev/stdout
cd gen_jax && ./launch/run.sh --accelerator=tpu --distributed$arguments 2>&1 | tee ../gen_jax.log >\$shown" ||
  status=$?
if [ "${DELETE:-0}" = 1 ]; then remove; fi
exit "$status"
