import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.*;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;

/** The calls of ZooKeeper's own client that record.py writes down. */
public class JavaClient implements Watcher {
    private volatile CountDownLatch connected = new CountDownLatch(1);

    public void process(WatchedEvent event) {
        if (event.getType() == Event.EventType.None && event.getState() == KeeperState.SyncConnected) {
            connected.countDown();
        }
    }

    interface Call {
        void run() throws Exception;
    }

    static void refused(Call call) throws Exception {
        try {
            call.run();
            throw new IllegalStateException("not refused");
        } catch (KeeperException expected) {
            // The refusal is what is recorded.
        }
    }

    void cut(ZooKeeper zk) throws Exception {
        connected = new CountDownLatch(1);
        zk.exists("/cut", false);
        connected.await();
        zk.exists("/", false);
    }

    public static void main(String[] args) throws Exception {
        boolean sasl = args[0].equals("sasl");
        System.setProperty("zookeeper.sasl.client", Boolean.toString(sasl));
        JavaClient client = new JavaClient();
        ZooKeeperAdmin zk = new ZooKeeperAdmin(args[args.length - 1], 10000, client, !sasl);
        client.connected.await();
        if (sasl) {
            zk.whoAmI();
        } else {
            client.calls(zk);
        }
        zk.close();
    }

    void calls(ZooKeeperAdmin zk) throws Exception {
        List<org.apache.zookeeper.data.ACL> open = Ids.OPEN_ACL_UNSAFE;
        Stat stat = new Stat();
        Watcher watcher = event -> { };

        zk.create("/java", "data".getBytes(), open, CreateMode.PERSISTENT);
        zk.create("/java/null", null, open, CreateMode.PERSISTENT);
        zk.create("/java/empty", new byte[0], open, CreateMode.PERSISTENT, stat);
        zk.create("/java/seq-", null, open, CreateMode.PERSISTENT_SEQUENTIAL);
        zk.create("/java/e", null, open, CreateMode.EPHEMERAL);
        zk.create("/java/es-", null, open, CreateMode.EPHEMERAL_SEQUENTIAL, stat);
        zk.create("/java/container", null, open, CreateMode.CONTAINER, stat);
        zk.create("/java/container2", null, open, CreateMode.CONTAINER);
        zk.create("/java/ttl", null, open, CreateMode.PERSISTENT_WITH_TTL, stat, 5000);
        zk.create("/java/ttl-", null, open, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 5000);
        refused(() -> zk.create("/java", null, open, CreateMode.PERSISTENT));

        zk.getData("/java", watcher, stat);
        zk.getData("/java/null", false, stat);
        zk.getData("/java/empty", false, stat);
        zk.exists("/java/later", watcher);
        zk.exists("/java", false);
        zk.getChildren("/java", watcher);
        zk.getChildren("/java", false, stat);
        zk.getAllChildrenNumber("/java");
        zk.getEphemerals();
        zk.getEphemerals("/java/e");
        zk.getACL("/java", stat);
        zk.setACL("/java/e", Ids.READ_ACL_UNSAFE, 0);
        zk.sync("/java");
        zk.whoAmI();
        zk.addAuthInfo("digest", "user:password".getBytes());
        zk.whoAmI();
        zk.setData("/java", "more".getBytes(), 0);
        refused(() -> zk.setData("/java", null, 77));

        // One-shot watches are set again after the connection broke, then persistent ones too.
        zk.getData("/java", watcher, stat);
        cut(zk);
        zk.create("/java/later", null, open, CreateMode.PERSISTENT);
        zk.addWatch("/java/e", watcher, AddWatchMode.PERSISTENT);
        zk.addWatch("/java", watcher, AddWatchMode.PERSISTENT_RECURSIVE);
        zk.getChildren("/java/later", watcher);
        cut(zk);
        zk.delete("/java/later", -1);

        zk.getData("/java", watcher, stat);
        zk.getData("/java", event -> { }, stat);
        zk.removeWatches("/java", watcher, WatcherType.Data, false);
        zk.removeAllWatches("/java", WatcherType.Any, false);
        refused(() -> zk.removeAllWatches("/java/none", WatcherType.Any, false));

        zk.multi(List.of(
            Op.create("/java/m", null, open, CreateMode.PERSISTENT),
            Op.create("/java/m/c", null, open, CreateMode.CONTAINER),
            Op.create("/java/m/t", null, open, CreateMode.PERSISTENT_WITH_TTL, 5000),
            Op.setData("/java/m", "x".getBytes(), 0),
            Op.check("/java/m", 1),
            Op.delete("/java/m/c", -1)));
        refused(() -> zk.multi(List.of(
            Op.check("/java", -1), Op.delete("/java/none", 0), Op.delete("/java/m", -1))));
        zk.multi(List.of());
        zk.multi(List.of(Op.getData("/java"), Op.getChildren("/java/m"), Op.getData("/java/none")));

        String config = new String(zk.getConfig(false, stat));
        String server = config.lines().filter(line -> line.startsWith("server.1=")).findFirst().get();
        zk.reconfigure(server, null, null, -1, stat);
        refused(() -> zk.reconfigure((String) null, null, server, 99, stat));
        Thread.sleep(4000); // A ping goes out.
        zk.delete("/java/ttl", 0);
    }
}
