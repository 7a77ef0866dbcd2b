#!/usr/bin/env bash
# Measures Quorate beside ZooKeeper in one run: compare.sh [-n SERVERS] [-r ROUNDS] LOAD_GENERATOR [ARGUMENT...]
#
# Starts a release build of Quorate and, where tests/clients/install has put it, ZooKeeper, one kind at a time: a server alone, or
# with `-n 3` an ensemble of three. Runs
#   LOAD_GENERATOR ARGUMENT... --hosts HOST:PORT,... --pids PID,...
# at each kind in turn, three times, so that what the machine does besides hits both, and prints medians of the numbers in
# its output. See docs/performance.md.
set -euo pipefail
servers=1 rounds=3
while getopts n:r: option; do
  case $option in
  n) servers=$OPTARG ;;
  r) rounds=$OPTARG ;;
  *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
generator=${1:?the path of a load generator}
shift
source "$(dirname "$0")/servers.sh"

for ((round = 1; round <= rounds; round++)); do
  for subject in "${subjects[@]}"; do
    start "$subject" "$servers"
    echo "== $subject, round $round"
    "$generator" "$@" --hosts "$hosts" --pids "$pids" | tee "$work/output"
    printf '%s\t%s\n' "$subject" "$(tail -n 1 "$work/output")" >>"$work/results"
    stop
  done
done
echo "== medians"
medians <"$work/results"
