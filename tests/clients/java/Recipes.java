import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.UriSpec;

/**
 * Goes by Apache Curator's recipes as it is told: HOST:PORT, then commands on standard input, each
 * with one line of answer.
 *
 * <pre>
 * add PATH DELTA              the DistributedAtomicLong
 * count PATH DELTA            the SharedCount
 * value PATH OLD NEW          yes, or no when the SharedValue was not OLD
 * put PATH ITEM               done (DistributedQueue)
 * put-priority PATH ITEM N    done (DistributedPriorityQueue)
 * take PATH COUNT             the items, of a DistributedQueue
 * take-locked PATH LOCKS N    the items, of a DistributedQueue with a lock path
 * offer PATH ITEM             done (SimpleDistributedQueue)
 * poll PATH                   the item
 * enter PATH MEMBERS          done (DistributedDoubleBarrier)
 * leave                       done
 * join PATH ID DATA           done (GroupMember)
 * members                     id=data of all
 * register NAME ID PORT DATA  done (ServiceDiscovery at /services)
 * find NAME                   id:port:payload:uri of all
 * </pre>
 */
public class Recipes {
    static CuratorFramework client;
    static DistributedDoubleBarrier barrier;
    static GroupMember member;
    static ServiceDiscovery<String> services;

    static final QueueSerializer<String> SERIALIZER = new QueueSerializer<>() {
        public byte[] serialize(String item) {
            return bytes(item);
        }

        public String deserialize(byte[] bytes) {
            return text(bytes);
        }
    };

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    public static void main(String[] arguments) throws Exception {
        client = CuratorFrameworkFactory.newClient(
                arguments[0], 10_000, 10_000, new ExponentialBackoffRetry(100, 5));
        client.start();
        services = ServiceDiscoveryBuilder.builder(String.class)
                .client(client).basePath("/services").build();
        services.start();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = commands.readLine()) != null; ) {
            System.out.println(answer(line.split(" ")));
            System.out.flush();
        }
        services.close();
        client.close();
    }

    static String answer(String[] w) throws Exception {
        switch (w[0]) {
            case "add":
                return "" + new DistributedAtomicLong(client, w[1], new ExponentialBackoffRetry(10, 5))
                        .add(Long.parseLong(w[2])).postValue();
            case "count":
                try (SharedCount count = new SharedCount(client, w[1], 0)) {
                    count.start();
                    int sum = count.getCount() + Integer.parseInt(w[2]);
                    return count.trySetCount(count.getVersionedValue(), sum) ? "" + sum : "no";
                }
            case "value":
                try (SharedValue value = new SharedValue(client, w[1], bytes("seed"))) {
                    value.start();
                    boolean same = text(value.getValue()).equals(w[2]);
                    return same && value.trySetValue(value.getVersionedValue(), bytes(w[3])) ? "yes" : "no";
                }
            case "put":
                try (DistributedQueue<String> queue =
                        QueueBuilder.builder(client, null, SERIALIZER, w[1]).buildQueue()) {
                    queue.start();
                    queue.put(w[2]);
                    queue.flushPuts(10, TimeUnit.SECONDS);
                }
                return "done";
            case "put-priority":
                try (DistributedPriorityQueue<String> queue =
                        QueueBuilder.builder(client, null, SERIALIZER, w[1]).buildPriorityQueue(0)) {
                    queue.start();
                    queue.put(w[2], Integer.parseInt(w[3]));
                    queue.flushPuts(10, TimeUnit.SECONDS);
                }
                return "done";
            case "take":
                return take(w[1], null, Integer.parseInt(w[2]));
            case "take-locked":
                return take(w[1], w[2], Integer.parseInt(w[3]));
            case "offer":
                new SimpleDistributedQueue(client, w[1]).offer(bytes(w[2]));
                return "done";
            case "poll":
                return text(new SimpleDistributedQueue(client, w[1]).poll());
            case "enter":
                barrier = new DistributedDoubleBarrier(client, w[1], Integer.parseInt(w[2]));
                return barrier.enter(30, TimeUnit.SECONDS) ? "done" : "late";
            case "leave":
                return barrier.leave(30, TimeUnit.SECONDS) ? "done" : "late";
            case "join":
                member = new GroupMember(client, w[1], w[2], bytes(w[3]));
                member.start();
                return "done";
            case "members":
                List<String> members = new ArrayList<>();
                new TreeMap<>(member.getCurrentMembers()).forEach((id, data) -> members.add(id + "=" + text(data)));
                return String.join(" ", members);
            case "register":
                services.registerService(ServiceInstance.<String>builder()
                        .name(w[1]).id(w[2]).address("10.0.0.2").port(Integer.parseInt(w[3])).payload(w[4])
                        .uriSpec(new UriSpec("{scheme}://{address}:{port}")).build());
                return "done";
            case "find":
                List<String> found = new ArrayList<>();
                for (ServiceInstance<String> i : services.queryForInstances(w[1])) {
                    found.add(i.getId() + ":" + i.getPort() + ":" + i.getPayload() + ":" + i.buildUriSpec());
                }
                found.sort(null);
                return String.join(" ", found);
            default:
                throw new IllegalArgumentException(Arrays.toString(w));
        }
    }

    static String take(String path, String locks, int count) throws Exception {
        BlockingQueue<String> taken = new LinkedBlockingQueue<>();
        QueueConsumer<String> consumer = new QueueConsumer<>() {
            public void consumeMessage(String item) {
                taken.add(item);
            }

            public void stateChanged(CuratorFramework client, ConnectionState state) {}
        };
        QueueBuilder<String> builder = QueueBuilder.builder(client, consumer, SERIALIZER, path);
        List<String> items = new ArrayList<>();
        try (DistributedQueue<String> queue = (locks == null ? builder : builder.lockPath(locks)).buildQueue()) {
            queue.start();
            while (items.size() < count) {
                items.add(taken.poll(30, TimeUnit.SECONDS));
            }
        }
        return String.join(" ", items);
    }
}
