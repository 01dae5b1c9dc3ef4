#!/usr/bin/env bash
# A Ray cluster on this machine alone: token authentication on, every port on loopback.
#
#   cluster/local.sh start [ray start options]     start it, e.g. `start --num-cpus 4`
#   cluster/local.sh submit [curate.py options]    run jobs/curate.py there: `submit --out "$PWD/out/curate"`
#   cluster/local.sh train [train.py options]      run jobs/train.py there: `train --set "$PWD/out/curate" --out "$PWD/out/train"`
#   cluster/local.sh submit -- COMMAND…            run any other command there
#   cluster/local.sh status                        is it up, and with what
#   cluster/local.sh env                           print the exports a shell needs: eval "$(cluster/local.sh env)"
#   cluster/local.sh stop                          stop this cluster, and no other Ray on the machine
#
# Settings, by environment variable (to run a second cluster, change all five; 10002-19999 are Ray's workers'):
#   SYNCLORA_CLUSTER_DIR      /tmp/synclora-UID   state and logs; when set, the token lives here too. Short: Ray's sockets need the room
#   SYNCLORA_GCS_PORT         6379
#   SYNCLORA_DASHBOARD_PORT   8265                jobs and dashboard; the next two numbers serve metrics
#   SYNCLORA_CLIENT_PORT      10001
#   SYNCLORA_AGENT_PORT       52365
#   RAY_AUTH_TOKEN_PATH       ~/.ray/auth_token   made, readable by you alone, when there is none
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -z ${VIRTUAL_ENV:-} && -x $root/.venv/bin/ray ]]; then PATH=$root/.venv/bin:$PATH; fi

die() { echo "cluster/local.sh: $*" >&2; exit 1; }

state=${SYNCLORA_CLUSTER_DIR:-/tmp/synclora-$UID}
gcs_port=${SYNCLORA_GCS_PORT:-6379}
dashboard_port=${SYNCLORA_DASHBOARD_PORT:-8265}
client_port=${SYNCLORA_CLIENT_PORT:-10001}
agent_port=${SYNCLORA_AGENT_PORT:-52365}
token_file=${RAY_AUTH_TOKEN_PATH:-${SYNCLORA_CLUSTER_DIR:-$HOME/.ray}/auth_token}
dashboard=http://127.0.0.1:$dashboard_port
pid_file=$state/head.pid
log=$state/head.log

# What every client needs. RAY_AUTH_TOKEN would outrank the file, so it goes: the file is the one truth.
unset RAY_AUTH_TOKEN
exports=(
  RAY_AUTH_MODE=token
  "RAY_AUTH_TOKEN_PATH=$token_file"
  RAY_USAGE_STATS_ENABLED=0
  RAY_ENABLE_UV_RUN_RUNTIME_ENV=0      # else `uv run` makes Ray rebuild the environment in every worker
  RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0  # keeps 127.0.0.1 as the node's address; on Linux Ray otherwise turns it into the outer one and binds all interfaces
)
export "${exports[@]}"

make_token() {
  if [[ ! -s $token_file ]]; then
    mkdir -p "$(dirname "$token_file")"
    python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$token_file.$$"
    mv "$token_file.$$" "$token_file"
  fi
  chmod 600 "$token_file"
}

free_ports() { # Ray's own words for a taken port fill a screen
  local setting
  for setting in GCS_PORT=$gcs_port DASHBOARD_PORT=$dashboard_port CLIENT_PORT=$client_port AGENT_PORT=$agent_port; do
    python -c 'import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1])))' \
      "${setting#*=}" 2>/dev/null || die "SYNCLORA_$setting: taken, or no port number; set it to a free port"
  done
}

# The process of `ray start --block`: it holds the cluster's other processes. The command line is compared, since a pid may be reused.
head_pid() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) || return 1
  ps -o args= -p "$pid" 2>/dev/null | grep -qF -- "--temp-dir $state/ray" && echo "$pid"
}

answers() { # does the dashboard take our token?
  python - "$dashboard/api/jobs/" "$token_file" <<'PY' 2>/dev/null
import sys, urllib.request
token = open(sys.argv[2]).read().strip()
no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
no_proxy.open(urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {token}"}), timeout=5).read()
PY
}

start() {
  command -v ray >/dev/null || die "no \`ray\` on PATH; run \`make demo\` once or activate the environment"
  ((${#state} <= 32)) || die "SYNCLORA_CLUSTER_DIR=$state: ${#state} characters, at most 32 (a socket's path is limited to 107); choose a shorter one"
  if head_pid >/dev/null; then die "already running (pid $(head_pid), $dashboard); \`cluster/local.sh stop\` first"; fi
  mkdir -p -m 700 "$state"
  [[ -O $state ]] || die "$state belongs to someone else; set SYNCLORA_CLUSTER_DIR"
  chmod 700 "$state"
  (umask 077 && make_token) # in a subshell: what jobs write keeps the user's own umask
  free_ports

  # setsid where there is one (Linux): a Ctrl-C in this terminal must not reach the cluster.
  # The drain is for nodes that others take over from; here it would only hold `stop` up for 30 s.
  local detach=()
  if command -v setsid >/dev/null; then detach=(setsid); fi
  AUTOSCALER_METRIC_PORT=$((dashboard_port + 1)) DASHBOARD_METRIC_PORT=$((dashboard_port + 2)) RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 \
    nohup ${detach[@]+"${detach[@]}"} ray start --head --block --disable-usage-stats --temp-dir "$state/ray" \
    --node-ip-address 127.0.0.1 --port "$gcs_port" --ray-client-server-port "$client_port" \
    --dashboard-host 127.0.0.1 --dashboard-port "$dashboard_port" --dashboard-agent-listen-port "$agent_port" \
    "$@" >"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"

  for _ in {1..90}; do # 7 s on an idle machine of two cores
    kill -0 "$(cat "$pid_file")" 2>/dev/null || { tail -n 15 "$log" >&2; die "Ray did not start; the end of $log is above"; }
    if grep -q "Ray runtime started" "$log" && answers; then
      echo "Ray is up: $dashboard (token in $token_file, logs under $state)"
      return
    fi
    sleep 1
  done
  stop
  die "Ray did not answer within 90 s; see $log"
}

stop() { # SIGTERM to `ray start --block` makes Ray take its own processes down, jobs included
  local pid
  if ! pid=$(head_pid); then echo "not running"; return; fi
  kill -TERM "$pid"
  for _ in {1..60}; do
    if ! kill -0 "$pid" 2>/dev/null; then rm -f "$pid_file"; echo "stopped"; return; fi
    sleep 0.5
  done
  kill -KILL "$pid" # Ray's reaper then kills the rest
  rm -f "$pid_file"
  echo "killed: it did not stop within 30 s"
}

status() {
  local pid
  if ! pid=$(head_pid); then echo "not running"; return 3; fi
  answers || die "pid $pid runs, but $dashboard does not take the token in $token_file"
  echo "running: pid $pid, $dashboard, token in $token_file"
  ray status --address "127.0.0.1:$gcs_port"
}

submit() {
  if [[ ${1:-} == -- ]]; then shift; run_there "$@"; else run_there python jobs/curate.py "$@"; fi
}

train() { run_there python jobs/train.py "$@"; }

run_there() {
  answers || die "nothing at $dashboard takes the token in $token_file; run \`cluster/local.sh start\`"
  cd "$root" # becomes the job's working directory, as a copy: give --set and --out absolute paths
  ray job submit --address "$dashboard" --working-dir . -- "$@"
}

print_env() {
  printf 'export %q\n' "${exports[@]}" "RAY_ADDRESS=127.0.0.1:$gcs_port" "RAY_API_SERVER_ADDRESS=$dashboard"
}

case ${1:-} in
  start | stop | status | submit | train) verb=$1; shift; "$verb" "$@" ;;
  env) print_env ;;
  *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"; [[ ${1:-} == --help || ${1:-} == -h ]] || exit 2 ;;
esac
