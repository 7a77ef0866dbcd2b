import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.ZooKeeper.States;

/** A client that is content with reading, at the server given as HOST:PORT. */
public final class ReadOnly {
    private static final Object CHANGED = new Object();
    private static final long PATIENCE_S = 60;

    public static void main(String[] args) throws Exception {
        ZooKeeper zk = new ZooKeeper(args[0], 20_000, event -> {
            synchronized (CHANGED) {
                CHANGED.notifyAll();
            }
        }, true);
        waitFor(zk, States.CONNECTEDREADONLY);
        String data = new String(zk.getData("/a", false, null), StandardCharsets.UTF_8);
        if (!data.equals("1")) {
            throw new AssertionError(data);
        }
        try {
            zk.setData("/a", new byte[0], -1);
            throw new AssertionError("a read-only server took a write");
        } catch (KeeperException.NotReadOnlyException expected) {
            // As it should.
        }
        System.out.println("read-only");
        System.in.read();
        waitFor(zk, States.CONNECTED);
        zk.setData("/a", new byte[0], -1);
        zk.close();
    }

    private static void waitFor(ZooKeeper zk, States state) throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        synchronized (CHANGED) {
            while (zk.getState() != state) {
                long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
                if (left <= 0) {
                    throw new AssertionError(zk.getState());
                }
                // The state may change without an event.
                CHANGED.wait(Math.min(left, 50));
            }
        }
    }
}
