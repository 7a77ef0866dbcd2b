#!/usr/bin/env bash
# Measures Quorate beside ZooKeeper in one run: compare.sh LOAD_GENERATOR [ARGUMENT...]
#
# Starts a release build of Quorate and, where tests/clients/install has put it, ZooKeeper, each alone, with syncs, and runs
#   LOAD_GENERATOR ARGUMENT... --hosts HOST:PORT --pids PID
# at each in turn, three times, so that what the machine does besides hits both. See docs/performance.md.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
generator=${1:?the path of a load generator}
shift
jars=$root/target/foreign/zookeeper/jars
work=$(mktemp -d)
server=
stop() { [[ -z $server ]] || { kill "$server" && wait "$server" || true; } 2>/dev/null; server=; }
trap 'stop; rm -rf "$work"' EXIT

cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin quorate-server

start() { # NAME PORT
  local dir=$work/$1
  rm -rf "$dir" && mkdir -p "$dir"
  printf 'tickTime=2000\nclientPort=%s\nclientPortAddress=127.0.0.1\ndataDir=%s\nmaxClientCnxns=0\nadmin.enableServer=false\n' \
    "$2" "$dir/data" >"$dir/zoo.cfg"
  case $1 in
  quorate) "$root/target/release/quorate-server" "$dir/zoo.cfg" >"$dir/log" 2>&1 & ;;
  zookeeper)
    java -Xmx1g -cp "$jars:$jars/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg" >"$dir/log" 2>&1 &
    ;;
  esac
  server=$!
  for _ in {1..300}; do
    answer=$({ exec 3<>"/dev/tcp/127.0.0.1/$2" && printf srvr >&3 && timeout 1 cat <&3; } 2>/dev/null || true)
    [[ $answer == *Mode:* ]] && return
    kill -0 "$server" || { cat "$dir/log" >&2; exit 1; }
    sleep 0.1
  done
  echo "compare.sh: $1 does not serve" >&2
  exit 1
}

subjects=(quorate)
if [[ -e $root/target/foreign/zookeeper/complete ]]; then subjects=(zookeeper quorate); fi
for round in 1 2 3; do
  for subject in "${subjects[@]}"; do
    start "$subject" 21810
    echo "== $subject, round $round"
    "$generator" "$@" --hosts 127.0.0.1:21810 --pids "$server"
    stop
  done
done
