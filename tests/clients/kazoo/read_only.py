"""A client of kazoo that is content with reading, at the server given as HOST:PORT."""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import NotReadOnlyCallError
from kazoo.protocol.states import KeeperState

PATIENCE = 60

zk = KazooClient(hosts=sys.argv[1], timeout=20, read_only=True)
changed = threading.Condition()


def listen(_):
    with changed:
        changed.notify_all()
    return False


def wait_for(state):
    with changed:
        assert changed.wait_for(lambda: zk.client_state == state, PATIENCE), zk.client_state


zk.add_listener(listen)
zk.start(timeout=PATIENCE)
wait_for(KeeperState.CONNECTED_RO)
assert zk.get("/a")[0] == b"1"
try:
    zk.set("/a", b"2")
    raise SystemExit("a read-only server took a write")
except NotReadOnlyCallError:
    pass
print("read-only", flush=True)
sys.stdin.readline()
wait_for(KeeperState.CONNECTED)
zk.retry(zk.set, "/a", b"2")
zk.stop()
zk.close()
