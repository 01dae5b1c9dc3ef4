#!/bin/sh
# The two system libraries that OpenCV's wheel (brought by mediapipe) needs and slim images lack. Nothing to do elsewhere: torch, DeepSpeed and the
# other wheels bring their own, and training compiles nothing.
set -eu
command -v ldconfig >/dev/null 2>&1 || exit 0
missing=""
for pair in libGL.so.1=libgl1 libgthread-2.0.so.0=libglib2.0-0; do
  ldconfig -p | grep -q "${pair%%=*}" || missing="$missing ${pair##*=}"
done
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "system libraries missing:$missing; install them (Debian, Ubuntu: sudo apt-get install$missing)" >&2
  exit 1
fi
