import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** Goes through what the Java client can do, at the server given as HOST:PORT. */
public class Conformance {
    static final int TIMEOUT_MS = 20_000;
    static final long PATIENCE_S = 30;
    static String address;

    interface Part {
        void run(ZooKeeper zk) throws Exception;
    }

    interface Call {
        void run() throws Exception;
    }

    /** Keeps what it is told. */
    static class Events implements Watcher {
        final BlockingQueue<String> seen = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != EventType.None) {
                seen.add(event.getType() + " " + event.getPath());
            }
        }

        void expect(String... wanted) throws Exception {
            for (String event : wanted) {
                equal(seen.poll(PATIENCE_S, TimeUnit.SECONDS), event);
            }
            equal(seen.peek(), null);
        }
    }

    /** Follows the state of the connection. */
    static class States implements Watcher {
        final BlockingQueue<KeeperState> seen = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() == EventType.None) {
                seen.add(event.getState());
            }
        }

        void await(KeeperState wanted) throws Exception {
            KeeperState state;
            do {
                state = seen.poll(PATIENCE_S, TimeUnit.SECONDS);
                check(state != null, "never became " + wanted);
            } while (state != wanted);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object got, Object wanted) {
        check(Objects.equals(got, wanted), "got " + got + ", wanted " + wanted);
    }

    static void fails(Code code, Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException e) {
            equal(e.code(), code);
            return;
        }
        throw new AssertionError("no " + code);
    }

    static byte[] bytes(String text) {
        return text.getBytes();
    }

    static ZooKeeper connect(int timeoutMs, Watcher watcher) throws Exception {
        States states = new States();
        ZooKeeper zk = new ZooKeeper(address, timeoutMs, states);
        states.await(KeeperState.SyncConnected);
        zk.register(watcher);
        return zk;
    }

    static ZooKeeper connect() throws Exception {
        return connect(TIMEOUT_MS, new States());
    }

    static void nodes(ZooKeeper zk) throws Exception {
        equal(zk.create("/n", bytes("data"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), "/n");
        fails(Code.NODEEXISTS, () -> zk.create("/n", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        fails(Code.NONODE, () -> zk.create("/x/y", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        Stat created = new Stat();
        zk.create("/n/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, created);
        equal(zk.exists("/n/a", false), created);
        Stat stat = new Stat();
        equal(zk.getData("/n/a", false, stat), null);
        equal(stat, created);
        equal(new String(zk.getData("/n", false, stat)), "data");
        equal(stat.getNumChildren(), 1);
        equal(stat.getCversion(), 1);
        equal(zk.setData("/n", bytes("more"), 0).getVersion(), 1);
        fails(Code.BADVERSION, () -> zk.setData("/n", bytes("late"), 0));
        equal(zk.exists("/missing", false), null);
        equal(zk.getChildren("/n", false), List.of("a"));
        equal(zk.getChildren("/n", false, stat), List.of("a"));
        equal(zk.getAllChildrenNumber("/n"), 1);
        fails(Code.NOTEMPTY, () -> zk.delete("/n", -1));
        fails(Code.BADVERSION, () -> zk.delete("/n/a", 7));
        zk.delete("/n/a", 0);
        zk.delete("/n", -1);
        fails(Code.NONODE, () -> zk.getData("/n", false, null));
        fails(Code.BADARGUMENTS, () -> zk.delete("/zookeeper/quota", -1));
        CountDownLatch synced = new CountDownLatch(1);
        zk.sync("/", (code, path, context) -> synced.countDown(), null);
        check(synced.await(PATIENCE_S, TimeUnit.SECONDS), "sync has an answer");
        equal(zk.whoAmI().get(0).getAuthScheme(), "ip");
    }

    static void kindsOfNodes(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        zk.create("/k", null, open, CreateMode.PERSISTENT);
        equal(zk.create("/k/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL), "/k/s-0000000000");
        equal(zk.create("/k/e", null, open, CreateMode.EPHEMERAL), "/k/e");
        equal(zk.create("/k/s-", null, open, CreateMode.EPHEMERAL_SEQUENTIAL), "/k/s-0000000002");
        equal(zk.exists("/k/e", false).getEphemeralOwner(), zk.getSessionId());
        fails(Code.NOCHILDRENFOREPHEMERALS, () -> zk.create("/k/e/x", null, open, CreateMode.PERSISTENT));
        List<String> ephemerals = zk.getEphemerals("/k");
        Collections.sort(ephemerals);
        equal(ephemerals, List.of("/k/e", "/k/s-0000000002"));

        Events containers = new Events();
        zk.create("/k/c", null, open, CreateMode.CONTAINER);
        equal(zk.exists("/k/c", containers).getEphemeralOwner(), 0L);
        zk.create("/k/c/x", null, open, CreateMode.PERSISTENT);
        zk.delete("/k/c/x", -1);
        containers.expect("NodeDeleted /k/c");

        Events outdated = new Events();
        zk.create("/k/t", bytes("x"), open, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 50);
        if (zk.exists("/k/t", outdated) != null) {
            outdated.expect("NodeDeleted /k/t");
        }
        equal(zk.create("/k/t-", null, open, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, new Stat(), 600_000),
              "/k/t-0000000005");

        ZooKeeper other = connect();
        other.create("/k/theirs", null, open, CreateMode.EPHEMERAL);
        Events gone = new Events();
        zk.exists("/k/theirs", gone);
        other.close();
        gone.expect("NodeDeleted /k/theirs");
    }

    static void watches(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        Events exists = new Events(), data = new Events(), children = new Events();
        equal(zk.exists("/w", exists), null);
        zk.create("/w", null, open, CreateMode.PERSISTENT);
        exists.expect("NodeCreated /w");
        zk.getData("/w", data, null);
        zk.getChildren("/w", children);
        zk.setData("/w", bytes("1"), -1);
        data.expect("NodeDataChanged /w");
        zk.create("/w/a", null, open, CreateMode.PERSISTENT);
        children.expect("NodeChildrenChanged /w");

        Events persistent = new Events(), recursive = new Events();
        zk.addWatch("/w", persistent, AddWatchMode.PERSISTENT);
        zk.addWatch("/w", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        for (int i = 0; i < 2; i++) {
            zk.setData("/w", bytes("2"), -1);
            zk.create("/w/b", null, open, CreateMode.PERSISTENT);
            zk.setData("/w/b", bytes("3"), -1);
            zk.delete("/w/b", -1);
            persistent.expect("NodeDataChanged /w", "NodeChildrenChanged /w", "NodeChildrenChanged /w");
            recursive.expect("NodeDataChanged /w", "NodeCreated /w/b", "NodeDataChanged /w/b", "NodeDeleted /w/b");
        }
        zk.removeWatches("/w", persistent, WatcherType.Persistent, false);
        zk.removeAllWatches("/w", WatcherType.Any, false);
        fails(Code.NOWATCHER, () -> zk.removeAllWatches("/w", WatcherType.Data, false));
        zk.setData("/w", bytes("4"), -1);
        // The removals themselves are told by the client.
        recursive.seen.removeIf(event -> event.startsWith("PersistentWatchRemoved"));
        persistent.seen.removeIf(event -> event.startsWith("PersistentWatchRemoved"));
        recursive.expect();
        persistent.expect();
        Events gone = new Events();
        zk.getChildren("/w/a", gone);
        zk.delete("/w/a", -1);
        gone.expect("NodeDeleted /w/a");
    }

    static void transactions(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        List<OpResult> results = zk.multi(Arrays.asList(
            Op.create("/t", bytes("1"), open, CreateMode.PERSISTENT),
            Op.create("/t/c", null, open, CreateMode.CONTAINER),
            Op.setData("/t", bytes("2"), 0),
            Op.check("/t", 1),
            Op.delete("/t/c", -1),
            Op.create("/t/s-", null, open, CreateMode.PERSISTENT_SEQUENTIAL)));
        equal(((OpResult.CreateResult) results.get(0)).getPath(), "/t");
        equal(((OpResult.SetDataResult) results.get(2)).getStat().getVersion(), 1);
        equal(((OpResult.CreateResult) results.get(5)).getPath(), "/t/s-0000000001");
        try {
            zk.multi(Arrays.asList(
                Op.create("/t/x", null, open, CreateMode.PERSISTENT),
                Op.check("/t", 9),
                Op.delete("/t/x", -1)));
            throw new AssertionError("no BADVERSION");
        } catch (KeeperException e) {
            equal(e.code(), Code.BADVERSION);
            List<Integer> codes = new ArrayList<>();
            e.getResults().forEach(r -> codes.add(((OpResult.ErrorResult) r).getErr()));
            equal(codes, List.of(0, Code.BADVERSION.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()));
        }
        equal(zk.exists("/t/x", false), null);
        List<OpResult> reads = zk.multi(Arrays.asList(Op.getData("/t"), Op.getChildren("/t"), Op.getData("/no")));
        equal(new String(((OpResult.GetDataResult) reads.get(0)).getData()), "2");
        equal(((OpResult.GetChildrenResult) reads.get(1)).getChildren(), List.of("s-0000000001"));
        equal(((OpResult.ErrorResult) reads.get(2)).getErr(), Code.NONODE.intValue());
    }

    static void acls(ZooKeeper zk) throws Exception {
        ZooKeeper owner = connect();
        owner.addAuthInfo("digest", bytes("user:password"));
        owner.create("/acl", bytes("secret"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        fails(Code.NOAUTH, () -> zk.getData("/acl", false, null));
        fails(Code.NOAUTH, () -> zk.exists("/acl", false));
        fails(Code.NOAUTH, () -> zk.setData("/acl", null, -1));
        fails(Code.INVALIDACL, () -> zk.create("/b", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        fails(Code.INVALIDACL, () -> zk.create("/b", null,
            Arrays.asList(new ACL(Perms.ALL, new Id("nope", "x"))), CreateMode.PERSISTENT));
        Stat stat = new Stat();
        List<ACL> acl = owner.getACL("/acl", stat);
        equal(acl.get(0).getId(), new Id("digest", "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY="));
        List<ACL> shared = Arrays.asList(acl.get(0), new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
        equal(owner.setACL("/acl", shared, 0).getAversion(), 1);
        fails(Code.BADVERSION, () -> owner.setACL("/acl", shared, 0));
        equal(new String(zk.getData("/acl", false, null)), "secret");
        // Who may not administer the node does not see the hash.
        equal(zk.getACL("/acl", stat).get(0).getId(), new Id("digest", "user:x"));
        owner.close();
        ZooKeeper root = connect();
        root.addAuthInfo("digest", bytes("super:test"));
        root.setData("/acl", bytes("by super"), -1);
        root.close();
        States states = new States();
        ZooKeeper stranger = connect(TIMEOUT_MS, states);
        stranger.addAuthInfo("nope", bytes("x"));
        states.await(KeeperState.AuthFailed);
        stranger.close();
    }

    static void reconnect(ZooKeeper zk) throws Exception {
        List<ACL> open = Ids.OPEN_ACL_UNSAFE;
        States states = new States();
        zk.register(states);
        long session = zk.getSessionId();
        zk.create("/stays", bytes("here"), open, CreateMode.EPHEMERAL);
        Events oneShot = new Events(), recursive = new Events();
        zk.getData("/stays", oneShot, null);
        zk.addWatch("/stays", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        System.out.println("restart");
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        states.await(KeeperState.Disconnected);
        states.await(KeeperState.SyncConnected);
        equal(zk.getSessionId(), session);
        equal(zk.exists("/stays", false).getEphemeralOwner(), session);
        // The client has set its watches again.
        zk.setData("/stays", bytes("still"), -1);
        oneShot.expect("NodeDataChanged /stays");
        recursive.expect("NodeDataChanged /stays");
    }

    static void expiry(ZooKeeper zk) throws Exception {
        States states = new States();
        ZooKeeper doomed = connect(TIMEOUT_MS, states);
        doomed.create("/doomed", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Events gone = new Events();
        zk.exists("/doomed", gone);
        // Another handle on the session closes it.
        States twinStates = new States();
        ZooKeeper twin = new ZooKeeper(address, TIMEOUT_MS, twinStates,
            doomed.getSessionId(), doomed.getSessionPasswd());
        twinStates.await(KeeperState.SyncConnected);
        twin.close();
        gone.expect("NodeDeleted /doomed");
        states.await(KeeperState.Expired);
        fails(Code.SESSIONEXPIRED, () -> doomed.exists("/", false));
        doomed.close();
        // A process that dies without a word.
        Process dying = new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow(), "-cp",
            System.getProperty("java.class.path"), "Conformance", "--die", address).inheritIO().start();
        equal(dying.waitFor(), 0);
        Events silent = new Events();
        if (zk.exists("/dying", silent) != null) {
            silent.expect("NodeDeleted /dying");
        }
    }

    public static void main(String[] args) throws Exception {
        address = args[args.length - 1];
        if (args[0].equals("--die")) {
            connect(1000, new States()).create("/dying", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            Runtime.getRuntime().halt(0);
        }
        ZooKeeper zk = connect();
        String[] names = {"nodes", "kinds of nodes", "watches", "transactions", "ACLs", "reconnect", "expiry"};
        Part[] parts = {
            Conformance::nodes, Conformance::kindsOfNodes, Conformance::watches, Conformance::transactions,
            Conformance::acls, Conformance::reconnect, Conformance::expiry,
        };
        for (int i = 0; i < parts.length; i++) {
            System.out.println(names[i]);
            parts[i].run(zk);
        }
        zk.close();
    }
}
