#!/usr/bin/env bash
# What the tests run and no package of Python brings: a browser, and Prometheus with promtool.
# As root on Debian, or what is like it, they are installed; otherwise this says what is missing, and the tests
# that need it fail and say so again.
set -euo pipefail
missing=()
command -v "${CHROMIUM:-chromium}" > /dev/null || missing+=(chromium)
command -v promtool > /dev/null || missing+=(prometheus)
((${#missing[@]})) || exit 0
if [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null; then
  echo "installing ${missing[*]}, which the tests run …"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "${missing[@]}" > /dev/null
else
  echo "the tests also run programs that are not here; as root: apt-get install ${missing[*]}"
fi
