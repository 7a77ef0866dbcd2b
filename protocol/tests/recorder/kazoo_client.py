"""The calls of kazoo that record.py writes down."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.security import make_digest_acl

zk = KazooClient(hosts=sys.argv[1], timeout=10, auth_data=[("digest", "user:password")])
zk.start()

zk.create("/kazoo", b"data")
zk.create("/kazoo/empty", b"")
zk.create("/kazoo/seq-", b"", sequence=True)
zk.create("/kazoo/ephemeral", b"", ephemeral=True)
zk.create("/kazoo/with-stat", b"", include_data=True)
zk.create("/kazoo/acl", b"", acl=[make_digest_acl("user", "password", all=True)])
zk.create("/kazoo/\u00e9\u4e2d", "\u00e9\u4e2d".encode())
try:
    zk.create("/kazoo", b"")
except NodeExistsError:
    pass

zk.get("/kazoo", watch=print)
zk.get("/kazoo/empty")
zk.exists("/kazoo")
zk.exists("/kazoo/later", watch=print)
zk.get_children("/kazoo", watch=print)
zk.get_children("/kazoo", include_data=True)
zk.get_acls("/kazoo/acl")
zk.set_acls("/kazoo/acl", [make_digest_acl("user", "password", all=True)], version=0)
zk.sync("/kazoo")
zk.set("/kazoo", b"more")
zk.create("/kazoo/later", b"")
zk.delete("/kazoo/later")
for failing in (lambda: zk.get("/none"), lambda: zk.set("/kazoo", b"", version=77)):
    try:
        failing()
    except (NoNodeError, BadVersionError):
        pass

done = zk.transaction()
done.create("/kazoo/t", b"1")
done.set_data("/kazoo/t", b"2")
done.check("/kazoo/t", 1)
done.delete("/kazoo/t")
done.commit()
failed = zk.transaction()
failed.create("/kazoo/u", b"1")
failed.check("/kazoo/u", 9)
failed.delete("/kazoo/u")
failed.commit()

zk.add_auth("digest", "other:password")
config, _ = zk.get("/zookeeper/config")
server = next(line for line in config.decode().splitlines() if line.startswith("server.1="))
zk.reconfig(joining=server, leaving=None, new_members=None)
zk.stop()
