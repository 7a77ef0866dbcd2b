#!/usr/bin/env bash
# Types into ZooKeeperMain (zkCli.sh) and looks for its answers: CLASS_PATH HOST:PORT.
set -euo pipefail
shell=(java -Xmx256m -cp "$1" org.apache.zookeeper.ZooKeeperMain -server "$2")

expect() { # TEXT: the answers contain it
  grep -qF -- "$1" <<<"$answers" || { echo "missing: $1"; echo "$answers"; exit 1; }
}

answers=$("${shell[@]}" 2>&1 <<'LINES'
create /shell first
create -s /shell/s- numbered
create -e /shell/e ephemeral
create -c /shell/c
create -t 600000 /shell/t lasting
get -s /shell
get -w /shell
set -v 0 /shell second
set -v 0 /shell third
stat /shell
ls /shell
ls -R /shell
addauth digest user:password
create /shell/mine private auth:user:password:cdrwa
getAcl -s /shell/mine
setAcl /shell/mine world:anyone:r
setquota -n 10 /shell
listquota /shell
delquota /shell
getEphemerals /shell
getAllChildrenNumber /shell
whoami
addWatch -m PERSISTENT_RECURSIVE /shell
create /shell/watched
removewatches /shell
sync /
config
version
deleteall /shell
ls /
delete /missing
quit
LINES
) || true

expect 'Created /shell'
expect 'Created /shell/s-0000000000'
expect 'Created /shell/e'
expect 'Created /shell/c'
expect 'Created /shell/t'
expect 'first'
expect 'dataVersion = 0'
expect 'type:NodeDataChanged path:/shell'
expect 'version No is not valid : /shell'
expect 'dataVersion = 1'
expect '[c, e, s-0000000000, t]'
expect '/shell/s-0000000000'
expect "'digest,'user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY="
expect 'aclVersion = 0'
expect 'count=10'
expect '[/shell/e]'
expect 'digest: user'
expect 'type:NodeCreated path:/shell/watched'
expect 'Sync is OK'
expect '[zookeeper]'
expect 'Node does not exist: /missing'
echo "all answers are there"
