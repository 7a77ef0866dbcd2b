import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.*;
import org.apache.zookeeper.ZooDefs.*;
import org.apache.zookeeper.data.*;

/** `Drive one HOST` makes a node. `Drive all HOST [OTHER]` makes every kind of node, and comes with its session to OTHER. */
public class Drive {
    static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;
    static final byte[] DATA = "data".getBytes();

    public static void main(String[] args) throws Exception {
        ZooKeeper zk = connect(args[1], 0, null);
        if (args[0].equals("one")) {
            create(zk, "/before", "x".getBytes(), CreateMode.PERSISTENT);
        } else {
            all(zk);
            ZooKeeper other = connect(args[1], 0, null);
            create(other, "/other-eph", DATA, CreateMode.EPHEMERAL);
            if (args.length > 2) {
                connect(args[2], zk.getSessionId(), zk.getSessionPasswd());
                Thread.sleep(2500);
                other.close();
                Thread.sleep(300);
            }
        }
        // Without closing sessions.
        Runtime.getRuntime().halt(0);
    }

    static ZooKeeper connect(String host, long session, byte[] password) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        Watcher watcher = e -> { if (e.getState() == Watcher.Event.KeeperState.SyncConnected) connected.countDown(); };
        ZooKeeper zk = session == 0 ? new ZooKeeper(host, 30000, watcher) : new ZooKeeper(host, 30000, watcher, session, password);
        connected.await();
        return zk;
    }

    static void create(ZooKeeper zk, String path, byte[] data, CreateMode mode) throws Exception {
        zk.create(path, data, OPEN, mode);
    }

    static void all(ZooKeeper zk) throws Exception {
        zk.addAuthInfo("digest", "user:secret".getBytes());
        create(zk, "/app", DATA, CreateMode.PERSISTENT);
        create(zk, "/app/null", null, CreateMode.PERSISTENT);
        create(zk, "/app/empty", new byte[0], CreateMode.PERSISTENT);
        create(zk, "/app/\u00e9\u4e2d", "\u00fc".getBytes(StandardCharsets.UTF_8), CreateMode.PERSISTENT);
        for (int i = 0; i < 5; i++) create(zk, "/app/seq-", new byte[] {(byte) i}, CreateMode.PERSISTENT_SEQUENTIAL);
        zk.delete("/app/seq-0000000004", -1);
        zk.setData("/app", "written".getBytes(), 0);
        zk.setData("/app", "twice".getBytes(), 1);
        zk.create("/guarded", DATA, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        zk.create("/read-only", DATA, Ids.READ_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.setACL("/guarded", Arrays.asList(new ACL(Perms.READ, new Id("world", "anyone")), new ACL(Perms.ALL, new Id("digest", "user:x"))), 0);
        create(zk, "/guarded-too", DATA, CreateMode.PERSISTENT);
        zk.setACL("/guarded-too", Ids.READ_ACL_UNSAFE, 0);
        create(zk, "/eph", DATA, CreateMode.EPHEMERAL);
        create(zk, "/eph-seq-", DATA, CreateMode.EPHEMERAL_SEQUENTIAL);
        create(zk, "/container", DATA, CreateMode.CONTAINER);
        create(zk, "/container/child", DATA, CreateMode.PERSISTENT);
        zk.create("/ttl", DATA, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 3600_000L);
        create(zk, "/quota", "12345".getBytes(), CreateMode.PERSISTENT);
        create(zk, "/quota/a", "123".getBytes(), CreateMode.PERSISTENT);
        create(zk, "/zookeeper/quota/quota", null, CreateMode.PERSISTENT);
        create(zk, "/zookeeper/quota/quota/zookeeper_limits", "count=10,bytes=1000".getBytes(), CreateMode.PERSISTENT);
        create(zk, "/zookeeper/quota/quota/zookeeper_stats", "count=0,bytes=0".getBytes(), CreateMode.PERSISTENT);
        create(zk, "/quota/b", "45".getBytes(), CreateMode.PERSISTENT);
        create(zk, "/deep", null, CreateMode.PERSISTENT);
        String path = "/deep";
        for (String name : "a b c d e f".split(" ")) {
            path += "/" + name;
            create(zk, path, path.getBytes(), CreateMode.PERSISTENT);
        }
        zk.multi(List.of(Op.create("/multi", DATA, OPEN, CreateMode.PERSISTENT), Op.setData("/multi", DATA, 0), Op.check("/app", 2)));
        try {
            create(zk, "/app", DATA, CreateMode.PERSISTENT);
        } catch (KeeperException.NodeExistsException expected) {
        }
        zk.sync("/app", (rc, p, ctx) -> { }, null);
        zk.getData("/app", false, null);
    }
}
