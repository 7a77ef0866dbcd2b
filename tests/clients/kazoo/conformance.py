"""Goes through what kazoo can do, at the server given as HOST:PORT."""

import os
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    AuthFailedError, BadVersionError, InvalidACLError, NoAuthError, NoChildrenForEphemeralsError,
    NodeExistsError, NoNodeError, NotEmptyError, RolledBackError, RuntimeInconsistency,
)
from kazoo.protocol.states import EventType
from kazoo.security import ACL, Id, OPEN_ACL_UNSAFE, Permissions, make_digest_acl

ADDRESS = sys.argv[1]
PATIENCE = 30


def connect(**options):
    client = KazooClient(hosts=ADDRESS, timeout=options.pop("timeout", 20), **options)
    client.start(timeout=PATIENCE)
    return client


def raises(error, call, *args, **kwargs):
    try:
        got = call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{call.__name__}{args} answered {got}, not {error.__name__}")


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


class Events:
    """A watch function that keeps what it is told."""

    def __init__(self):
        self.seen = []
        self.changed = threading.Condition()

    def __call__(self, event):
        with self.changed:
            self.seen.append((event.type, event.path))
            self.changed.notify_all()

    def wait(self, *wanted):
        with self.changed:
            enough = lambda: len(self.seen) >= len(wanted)
            assert self.changed.wait_for(enough, PATIENCE), f"only {self.seen} of {wanted}"
            equal(self.seen, list(wanted))
            self.seen = []


def nodes(zk):
    equal(zk.create("/n", b"data"), "/n")
    raises(NodeExistsError, zk.create, "/n")
    raises(NoNodeError, zk.create, "/missing/n")
    data, stat = zk.get("/n")
    equal((data, stat.version, stat.dataLength, stat.numChildren), (b"data", 0, 4, 0))
    equal((stat.czxid, stat.ctime), (stat.mzxid, stat.mtime))
    equal(zk.set("/n", b"more").version, 1)
    raises(BadVersionError, zk.set, "/n", b"late", version=0)
    equal(zk.exists("/missing"), None)
    equal(zk.create("/n/a/b", makepath=True), "/n/a/b")
    equal(zk.get_children("/n"), ["a"])
    children, stat = zk.get_children("/n", include_data=True)
    equal((children, stat.cversion, stat.numChildren), (["a"], 1, 1))
    raises(NotEmptyError, zk.delete, "/n")
    raises(BadVersionError, zk.delete, "/n/a/b", version=7)
    zk.delete("/n", recursive=True)
    raises(NoNodeError, zk.get, "/n")
    equal(zk.create("/empty", b""), "/empty")
    equal(zk.get("/empty")[0], b"")
    path, stat = zk.create("/with-stat", b"x", include_data=True)
    equal((path, stat.version, stat.dataLength), ("/with-stat", 0, 1))
    equal(zk.sync("/"), "/")


def kinds_of_nodes(zk):
    zk.create("/kinds")
    equal(zk.create("/kinds/s-", sequence=True), "/kinds/s-0000000000")
    equal(zk.create("/kinds/s-", sequence=True), "/kinds/s-0000000001")
    zk.create("/kinds/e", ephemeral=True)
    equal(zk.get("/kinds/e")[1].ephemeralOwner, zk.client_id[0])
    raises(NoChildrenForEphemeralsError, zk.create, "/kinds/e/child")
    equal(zk.create("/kinds/es-", ephemeral=True, sequence=True), "/kinds/es-0000000003")
    other = connect()
    other.create("/kinds/theirs", ephemeral=True)
    gone = Events()
    assert zk.exists("/kinds/theirs", watch=gone)
    other.stop()
    other.close()
    gone.wait((EventType.DELETED, "/kinds/theirs"))
    equal(zk.exists("/kinds/theirs"), None)


def watches(zk):
    created, data, children = Events(), Events(), Events()
    equal(zk.exists("/w", watch=created), None)
    zk.create("/w", b"0")
    created.wait((EventType.CREATED, "/w"))
    zk.get("/w", watch=data)
    zk.get_children("/w", watch=children)
    zk.set("/w", b"1")
    data.wait((EventType.CHANGED, "/w"))
    zk.create("/w/a")
    children.wait((EventType.CHILD, "/w"))
    # One-shot: nothing is told twice.
    zk.set("/w", b"2")
    zk.create("/w/b")
    equal((created.seen, data.seen, children.seen), ([], [], []))
    gone = Events()
    zk.get_children("/w", watch=gone)
    zk.delete("/w", recursive=True)
    gone.wait((EventType.CHILD, "/w"))


def transactions(zk):
    zk.create("/t", b"0")
    together = zk.transaction()
    together.create("/t/a", b"1")
    together.set_data("/t", b"2", version=0)
    together.check("/t/a", version=0)
    together.delete("/t/a")
    together.create("/t/s-", sequence=True)
    results = together.commit()
    equal((results[0], results[1].version, results[2], results[3]), ("/t/a", 1, True, True))
    equal(results[4], "/t/s-0000000001")
    failing = zk.transaction()
    failing.create("/t/b")
    failing.check("/t", version=5)
    failing.create("/t/c")
    kinds = [type(result) for result in failing.commit()]
    equal(kinds, [RolledBackError, BadVersionError, RuntimeInconsistency])
    equal(zk.get_children("/t"), ["s-0000000001"])


def acls(zk):
    read_only = ACL(Permissions.READ, OPEN_ACL_UNSAFE[0].id)
    zk.create("/acl", b"secret", acl=[make_digest_acl("user", "password", all=True)])
    raises(NoAuthError, zk.get, "/acl")
    raises(NoAuthError, zk.set, "/acl", b"x")
    raises(InvalidACLError, zk.create, "/acl2", acl=[ACL(Permissions.ALL, Id("nope", "x"))])
    friend = connect(auth_data=[("digest", "user:password")])
    equal(friend.get("/acl")[0], b"secret")
    acl, stat = friend.get_acls("/acl")
    equal((len(acl), acl[0].id.scheme, stat.aversion), (1, "digest", 0))
    equal(friend.set_acls("/acl", [read_only]).aversion, 1)
    equal(zk.get("/acl")[0], b"secret")
    raises(NoAuthError, zk.set, "/acl", b"x")
    friend.stop()
    friend.close()
    root = connect()
    root.add_auth("digest", "super:test")
    root.set("/acl", b"by super")
    root.delete("/acl")
    root.stop()
    root.close()
    stranger = connect()
    raises(AuthFailedError, stranger.add_auth, "nope", "x")
    stranger.stop()
    stranger.close()


def reconnect(zk):
    session = zk.client_id
    zk.create("/stays", b"here", ephemeral=True)
    lost, back = threading.Event(), threading.Event()

    def listen(state):
        if state == KazooState.SUSPENDED:
            lost.set()
        elif state == KazooState.CONNECTED and lost.is_set():
            back.set()

    zk.add_listener(listen)
    print("restart", flush=True)
    sys.stdin.readline()
    assert lost.wait(PATIENCE) and back.wait(PATIENCE), "no connection after the restart"
    equal(zk.client_id, session)
    data, stat = zk.retry(zk.get, "/stays")
    equal((data, stat.ephemeralOwner), (b"here", session[0]))
    zk.retry(zk.set, "/stays", b"again")


def expiry(zk):
    # A client that dies without a word.
    if os.fork() == 0:
        dying = connect(timeout=1)
        dying.create("/dying", ephemeral=True)
        os._exit(0)
    os.wait()
    gone = Events()
    if zk.exists("/dying", watch=gone):
        gone.wait((EventType.DELETED, "/dying"))
    # A client whose session ends behind its back is told when it comes again.
    ended = connect()
    expired, back = threading.Event(), threading.Event()

    def listen(state):
        if state == KazooState.LOST:
            expired.set()
        elif state == KazooState.CONNECTED and expired.is_set():
            back.set()

    ended.add_listener(listen)
    old = ended.client_id
    twin = connect(client_id=old)
    equal(twin.client_id, old)
    twin.stop()
    twin.close()
    assert expired.wait(PATIENCE) and back.wait(PATIENCE), "the client was not told"
    assert ended.client_id != old
    ended.stop()
    ended.close()


def recipes(zk):
    lock = zk.Lock("/lock", "me")
    with lock:
        equal(lock.contenders(), ["me"])
    counter = zk.Counter("/counter")
    counter += 3
    equal(counter.value, 3)
    queue = zk.Queue("/queue")
    queue.put(b"first")
    equal(queue.get(), b"first")


def main():
    zk = connect()
    for part in [nodes, kinds_of_nodes, watches, transactions, acls, recipes, reconnect, expiry]:
        print(part.__name__, flush=True)
        part(zk)
    zk.stop()
    zk.close()


main()
