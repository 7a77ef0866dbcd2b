import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * Holds Apache Curator's locks as it is told: HOST:PORT, then commands on standard input, each with
 * one line of answer.
 *
 * <pre>
 * acquire KIND PATH SECONDS  yes, or no when it could not in this time;
 *                            KIND: mutex, read, write, semaphore (of one), multi, latch
 * release PATH               done
 * participants PATH          the ids of a latch's participants, the leader's first
 * </pre>
 */
public class Locks {
    /** What is held: the way to release it. */
    interface Held {
        void release() throws Exception;
    }

    static CuratorFramework client;
    static final Map<String, Held> held = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        client = CuratorFrameworkFactory.newClient(
                arguments[0], 10_000, 10_000, new ExponentialBackoffRetry(100, 5));
        client.start();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "acquire":
                    Held lock = acquire(words[1], words[2], (long) (Double.parseDouble(words[3]) * 1000));
                    if (lock != null) {
                        held.put(words[2], lock);
                    }
                    System.out.println(lock == null ? "no" : "yes");
                    break;
                case "release":
                    held.remove(words[1]).release();
                    System.out.println("done");
                    break;
                case "participants":
                    StringBuilder ids = new StringBuilder();
                    new LeaderLatch(client, words[1])
                            .getParticipants().forEach(one -> ids.append(' ').append(one.getId()));
                    System.out.println(ids.toString().trim());
                    break;
                default:
                    throw new IllegalArgumentException(line);
            }
        }
        client.close();
        System.exit(0);
    }

    static Held acquire(String kind, String path, long millis) throws Exception {
        switch (kind) {
            case "mutex":
                return acquire(new InterProcessMutex(client, path), millis);
            case "read":
                return acquire(new InterProcessReadWriteLock(client, path).readLock(), millis);
            case "write":
                return acquire(new InterProcessReadWriteLock(client, path).writeLock(), millis);
            case "multi":
                return acquire(
                        new InterProcessMultiLock(client, List.of(path + "/a", path + "/b")), millis);
            case "semaphore": {
                InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path, 1);
                Lease lease = semaphore.acquire(millis, TimeUnit.MILLISECONDS);
                return lease == null ? null : () -> semaphore.returnLease(lease);
            }
            case "latch": {
                LeaderLatch latch = new LeaderLatch(client, path, "curator");
                latch.start();
                if (latch.await(millis, TimeUnit.MILLISECONDS)) {
                    return latch::close;
                }
                latch.close();
                return null;
            }
            default:
                throw new IllegalArgumentException(kind);
        }
    }

    static Held acquire(InterProcessLock lock, long millis) throws Exception {
        return lock.acquire(millis, TimeUnit.MILLISECONDS) ? lock::release : null;
    }
}
