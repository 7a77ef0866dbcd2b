#!/usr/bin/env bash
# Has a ZooKeeper 3.9.5 server write a snapshot, and records what three of them say on the leader's quorum port.
# Needs peer-zookeeper in PATH, javac, and the right to listen to the loopback device.
#   ./record.sh DIR     an empty folder for the servers' data
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) dir=$(cd "${1:?a folder}" && pwd)
cp="$(peer-zookeeper classpath):$dir"
javac -cp "$cp" -d "$dir" "$here/Drive.java"

# One server. What it logged is in the snapshot that it writes when it starts again.
export PEER_CFG='extendedTypesEnabled=true'
peer-zookeeper start "$dir/one" 1 23181
java -cp "$cp" Drive all 127.0.0.1:23181
peer-zookeeper stop "$dir/one"; sleep 2
peer-zookeeper start "$dir/one" 1 23181
peer-zookeeper stop "$dir/one"
cp "$(ls -t "$dir"/one/data1/version-2/snapshot.* | head -n 1)" "$here/zookeeper-3.9.5.snapshot"

# Server 2 leads, 1 follows, 3 comes later and observes. Both learners get a snapshot.
for i in 1 2 3; do
  mkdir -p "$dir/$i"; echo $i >"$dir/$i/myid"
  { printf 'tickTime=1000\ninitLimit=20\nsyncLimit=10\ndataDir=%s\nclientPort=%s\n' "$dir/$i" $((23280 + i))
    printf 'extendedTypesEnabled=true\nadmin.enableServer=false\n4lw.commands.whitelist=*\n'
    ((i < 3)) || echo peerType=observer
    for j in 1 2; do echo "server.$j=127.0.0.1:$((23300 + j)):$((23400 + j))"; done
    echo server.3=127.0.0.1:23303:23403:observer; } >"$dir/$i/zoo.cfg"
done
serve() {
  java -Xmx256m -Dzookeeper.forceSnapshotSync=true -cp "$cp" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/$1/zoo.cfg" >"$dir/$1/log" 2>&1 &
  echo $! >>"$dir/pids"
}
ready() { until timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1; echo srvr >&3; grep -q ^Mode <&3" 2>/dev/null; do sleep 0.5; done; }
python3 "$here/sniff.py" 23302 "$dir/stop" "$dir/link" & sniffer=$!
serve 1; serve 2; ready 23281; ready 23282
java -cp "$cp" Drive one 127.0.0.1:23281
serve 3; ready 23283
java -cp "$cp" Drive all 127.0.0.1:23283 127.0.0.1:23281
sleep 2; touch "$dir/stop"; wait $sniffer
xargs kill <"$dir/pids"
cp "$dir/link.0.up" "$here/zookeeper-3.9.5.from-follower"; cp "$dir/link.0.down" "$here/zookeeper-3.9.5.to-follower"
cp "$dir/link.1.up" "$here/zookeeper-3.9.5.from-observer"; cp "$dir/link.1.down" "$here/zookeeper-3.9.5.to-observer"
