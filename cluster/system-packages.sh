#!/bin/sh
# What wheels do not bring, by the machine's own packages.
#
#     sh cluster/system-packages.sh          two system libraries that OpenCV's wheel (brought by mediapipe) needs and slim images lack
#     sh cluster/system-packages.sh tests    a database and a browser, in which tests look at the service; without them these tests are skipped
#
# torch, DeepSpeed and the other wheels bring their own, and training compiles nothing.
set -eu

install() {  # packages...: true if they are there afterwards
  command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null 2>&1
}

if [ "${1:-}" = tests ]; then
  missing=""
  command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing="$missing postgresql"
  [ -z "$missing" ] || install $missing || echo "not installed:$missing; the tests that need them are skipped" >&2
  exit 0
fi

command -v ldconfig >/dev/null 2>&1 || exit 0
missing=""
for pair in libGL.so.1=libgl1 libgthread-2.0.so.0=libglib2.0-0; do
  ldconfig -p | grep -q "${pair%%=*}" || missing="$missing ${pair##*=}"
done
[ -z "$missing" ] || install $missing || {
  echo "system libraries missing:$missing; install them (Debian, Ubuntu: sudo apt-get install$missing)" >&2
  exit 1
}
