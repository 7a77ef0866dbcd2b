/* Goes through what the C client can do, at the server given as HOST:PORT. */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { TIMEOUT_MS = 20000, PATIENCE_S = 30, EVENTS = 64 };

static const char *address;

#define CHECK(holds) \
    do { \
        if (!(holds)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds); \
            exit(1); \
        } \
    } while (0)

#define RETURNS(wanted, call) \
    do { \
        int got = (call); \
        if (got != (wanted)) { \
            fprintf(stderr, "%s:%d: %s: got %d (%s), wanted %d\n", __FILE__, __LINE__, #call, got, zerror(got), \
                    (wanted)); \
            exit(1); \
        } \
    } while (0)

/* What a watch function is told. */
struct events {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count, next;
    struct {
        int type, state;
        char path[128];
    } seen[EVENTS];
};

#define NO_EVENTS {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, {{0, 0, {0}}}}

static void watch(zhandle_t *zk, int type, int state, const char *path, void *context) {
    (void)zk;
    struct events *events = context;
    pthread_mutex_lock(&events->lock);
    if (events->count < EVENTS) {
        events->seen[events->count].type = type;
        events->seen[events->count].state = state;
        snprintf(events->seen[events->count].path, sizeof events->seen[0].path, "%s", path ? path : "");
        events->count++;
    }
    pthread_cond_broadcast(&events->changed);
    pthread_mutex_unlock(&events->lock);
}

/* Waits for the next event; 0 when there is none in time. */
static int next_event(struct events *events, int *type, int *state, char *path) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&events->lock);
    while (events->next == events->count) {
        if (pthread_cond_timedwait(&events->changed, &events->lock, &end) != 0) {
            pthread_mutex_unlock(&events->lock);
            return 0;
        }
    }
    *type = events->seen[events->next].type;
    *state = events->seen[events->next].state;
    strcpy(path, events->seen[events->next].path);
    events->next++;
    pthread_mutex_unlock(&events->lock);
    return 1;
}

static void expect_event(struct events *events, int wanted_type, const char *wanted_path) {
    int type, state;
    char path[128];
    do { /* Changes of the connection's state are told to every watch function. */
        CHECK(next_event(events, &type, &state, path));
    } while (type == ZOO_SESSION_EVENT);
    if (type != wanted_type || strcmp(path, wanted_path) != 0) {
        fprintf(stderr, "got event %d %s, wanted %d %s\n", type, path, wanted_type, wanted_path);
        exit(1);
    }
}

static void expect_state(struct events *events, int wanted) {
    int type, state;
    char path[128];
    do {
        CHECK(next_event(events, &type, &state, path));
    } while (type != ZOO_SESSION_EVENT || state != wanted);
}

static zhandle_t *connect_as(const clientid_t *id, int timeout_ms, struct events *events) {
    zhandle_t *zk = zookeeper_init(address, watch, timeout_ms, id, events, 0);
    CHECK(zk);
    expect_state(events, ZOO_CONNECTED_STATE);
    return zk;
}

static void nodes(zhandle_t *zk) {
    char path[64], data[64];
    int length = sizeof data;
    struct Stat stat;
    struct String_vector children;
    RETURNS(ZOK, zoo_create(zk, "/n", "data", 4, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path));
    CHECK(strcmp(path, "/n") == 0);
    RETURNS(ZNODEEXISTS, zoo_create(zk, "/n", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    RETURNS(ZNONODE, zoo_create(zk, "/x/y", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    RETURNS(ZOK, zoo_get(zk, "/n", 0, data, &length, &stat));
    CHECK(length == 4 && memcmp(data, "data", 4) == 0 && stat.version == 0 && stat.czxid == stat.mzxid);
    RETURNS(ZOK, zoo_set2(zk, "/n", "more", 4, 0, &stat));
    CHECK(stat.version == 1);
    RETURNS(ZBADVERSION, zoo_set(zk, "/n", "late", 4, 0));
    RETURNS(ZOK, zoo_create(zk, "/null", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    length = sizeof data;
    RETURNS(ZOK, zoo_get(zk, "/null", 0, data, &length, &stat));
    CHECK(length == -1 && stat.dataLength == 0);
    RETURNS(ZNONODE, zoo_exists(zk, "/missing", 0, NULL));
    struct Stat created;
    RETURNS(ZOK, zoo_create2(zk, "/n/a", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path, &created));
    RETURNS(ZOK, zoo_exists(zk, "/n/a", 0, &stat));
    CHECK(memcmp(&created, &stat, sizeof stat) == 0);
    RETURNS(ZOK, zoo_get_children2(zk, "/n", 0, &children, &stat));
    CHECK(children.count == 1 && strcmp(children.data[0], "a") == 0 && stat.numChildren == 1);
    deallocate_String_vector(&children);
    RETURNS(ZNOTEMPTY, zoo_delete(zk, "/n", -1));
    RETURNS(ZBADVERSION, zoo_delete(zk, "/n/a", 7));
    RETURNS(ZOK, zoo_delete(zk, "/n/a", 0));
    RETURNS(ZOK, zoo_delete(zk, "/n", -1));
}

static void kinds_of_nodes(zhandle_t *zk) {
    char path[64];
    struct Stat stat;
    const struct ACL_vector *open = &ZOO_OPEN_ACL_UNSAFE;
    RETURNS(ZOK, zoo_create(zk, "/k", "", 0, open, 0, NULL, 0));
    RETURNS(ZOK, zoo_create(zk, "/k/s-", "", 0, open, ZOO_SEQUENCE, path, sizeof path));
    CHECK(strcmp(path, "/k/s-0000000000") == 0);
    RETURNS(ZOK, zoo_create(zk, "/k/e", "", 0, open, ZOO_EPHEMERAL, NULL, 0));
    RETURNS(ZOK, zoo_exists(zk, "/k/e", 0, &stat));
    CHECK(stat.ephemeralOwner == zoo_client_id(zk)->client_id);
    RETURNS(ZNOCHILDRENFOREPHEMERALS, zoo_create(zk, "/k/e/x", "", 0, open, 0, NULL, 0));
    RETURNS(ZOK, zoo_create(zk, "/k/s-", "", 0, open, ZOO_EPHEMERAL | ZOO_SEQUENCE, path, sizeof path));
    CHECK(strcmp(path, "/k/s-0000000002") == 0);

    struct events container = NO_EVENTS, outdated = NO_EVENTS;
    RETURNS(ZOK, zoo_create(zk, "/k/c", "", 0, open, ZOO_CONTAINER, NULL, 0));
    RETURNS(ZOK, zoo_wexists(zk, "/k/c", watch, &container, &stat));
    CHECK(stat.ephemeralOwner == 0);
    RETURNS(ZOK, zoo_create(zk, "/k/c/x", "", 0, open, 0, NULL, 0));
    RETURNS(ZOK, zoo_delete(zk, "/k/c/x", -1));
    expect_event(&container, ZOO_DELETED_EVENT, "/k/c");
    RETURNS(ZOK, zoo_create_ttl(zk, "/k/t", "", 0, open, ZOO_PERSISTENT_WITH_TTL, 50, NULL, 0));
    if (zoo_wexists(zk, "/k/t", watch, &outdated, &stat) == ZOK)
        expect_event(&outdated, ZOO_DELETED_EVENT, "/k/t");
}

static void watches(zhandle_t *zk) {
    struct events exists = NO_EVENTS, data = NO_EVENTS, children = NO_EVENTS;
    char bytes[8];
    int length = sizeof bytes;
    struct String_vector names;
    RETURNS(ZNONODE, zoo_wexists(zk, "/w", watch, &exists, NULL));
    RETURNS(ZOK, zoo_create(zk, "/w", "0", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    expect_event(&exists, ZOO_CREATED_EVENT, "/w");
    RETURNS(ZOK, zoo_wget(zk, "/w", watch, &data, bytes, &length, NULL));
    RETURNS(ZOK, zoo_wget_children(zk, "/w", watch, &children, &names));
    deallocate_String_vector(&names);
    RETURNS(ZOK, zoo_set(zk, "/w", "1", 1, -1));
    expect_event(&data, ZOO_CHANGED_EVENT, "/w");
    RETURNS(ZOK, zoo_create(zk, "/w/a", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    expect_event(&children, ZOO_CHILD_EVENT, "/w");
    struct events gone = NO_EVENTS;
    RETURNS(ZOK, zoo_wget_children(zk, "/w/a", watch, &gone, &names));
    deallocate_String_vector(&names);
    RETURNS(ZOK, zoo_delete(zk, "/w/a", -1));
    expect_event(&gone, ZOO_DELETED_EVENT, "/w/a");
    struct events removed = NO_EVENTS;
    length = sizeof bytes;
    RETURNS(ZOK, zoo_wget(zk, "/w", watch, &removed, bytes, &length, NULL));
    RETURNS(ZOK, zoo_remove_all_watches(zk, "/w", ZWATCHTYPE_DATA, 0));
    RETURNS(ZNOWATCHER, zoo_remove_all_watches(zk, "/w", ZWATCHTYPE_DATA, 0));
}

static void transactions(zhandle_t *zk) {
    char path[64], sequential[64];
    struct Stat stat;
    zoo_op_t ops[5];
    zoo_op_result_t results[5];
    zoo_create_op_init(&ops[0], "/t", "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path);
    zoo_set_op_init(&ops[1], "/t", "2", 1, 0, &stat);
    zoo_check_op_init(&ops[2], "/t", 1);
    zoo_create_op_init(&ops[3], "/t/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, sequential, sizeof sequential);
    zoo_delete_op_init(&ops[4], "/t/s-0000000000", 0);
    RETURNS(ZOK, zoo_multi(zk, 5, ops, results));
    CHECK(stat.version == 1 && strcmp(sequential, "/t/s-0000000000") == 0);
    zoo_create_op_init(&ops[0], "/t/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    zoo_check_op_init(&ops[1], "/t", 9);
    zoo_delete_op_init(&ops[2], "/t/x", -1);
    RETURNS(ZBADVERSION, zoo_multi(zk, 3, ops, results));
    CHECK(results[0].err == ZOK && results[1].err == ZBADVERSION && results[2].err == ZRUNTIMEINCONSISTENCY);
    RETURNS(ZNONODE, zoo_exists(zk, "/t/x", 0, NULL));
}

static void authenticated(int result, const void *context) {
    (void)result;
    struct events *events = (struct events *)context;
    watch(NULL, 100, result, "", events);
}

static void authenticate(zhandle_t *zk, const char *credentials) {
    struct events done = NO_EVENTS;
    int type, result;
    char path[128];
    RETURNS(ZOK, zoo_add_auth(zk, "digest", credentials, (int)strlen(credentials), authenticated, &done));
    CHECK(next_event(&done, &type, &result, path));
    RETURNS(ZOK, result);
}

static void acls(zhandle_t *zk) {
    struct events states = NO_EVENTS;
    zhandle_t *owner = connect_as(NULL, TIMEOUT_MS, &states);
    char data[16];
    int length = sizeof data;
    authenticate(owner, "user:password");
    RETURNS(ZOK, zoo_create(owner, "/acl", "secret", 6, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    RETURNS(ZNOAUTH, zoo_get(zk, "/acl", 0, data, &length, NULL));
    RETURNS(ZNOAUTH, zoo_set(zk, "/acl", "", 0, -1));
    RETURNS(ZINVALIDACL, zoo_create(zk, "/b", "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    struct ACL_vector acl;
    struct Stat stat;
    RETURNS(ZOK, zoo_get_acl(owner, "/acl", &acl, &stat));
    CHECK(acl.count == 1 && strcmp(acl.data[0].id.id, "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=") == 0);
    deallocate_ACL_vector(&acl);
    RETURNS(ZOK, zoo_set_acl(owner, "/acl", 0, &ZOO_READ_ACL_UNSAFE));
    length = sizeof data;
    RETURNS(ZOK, zoo_get(zk, "/acl", 0, data, &length, NULL));
    CHECK(length == 6);
    RETURNS(ZOK, zookeeper_close(owner));
    struct events root_states = NO_EVENTS;
    zhandle_t *root = connect_as(NULL, TIMEOUT_MS, &root_states);
    authenticate(root, "super:test");
    RETURNS(ZOK, zoo_set(root, "/acl", "by super", 8, -1));
    RETURNS(ZOK, zookeeper_close(root));
}

static void reconnect(zhandle_t *zk, struct events *states) {
    clientid_t session = *zoo_client_id(zk);
    struct events data = NO_EVENTS;
    struct Stat stat;
    char bytes[8], line[64];
    int length = sizeof bytes;
    RETURNS(ZOK, zoo_create(zk, "/stays", "here", 4, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    RETURNS(ZOK, zoo_wget(zk, "/stays", watch, &data, bytes, &length, NULL));
    puts("restart");
    CHECK(fgets(line, sizeof line, stdin));
    expect_state(states, ZOO_CONNECTING_STATE);
    expect_state(states, ZOO_CONNECTED_STATE);
    CHECK(zoo_client_id(zk)->client_id == session.client_id);
    RETURNS(ZOK, zoo_exists(zk, "/stays", 0, &stat));
    CHECK(stat.ephemeralOwner == session.client_id);
    /* The client has set its watch again. */
    RETURNS(ZOK, zoo_set(zk, "/stays", "still", 5, -1));
    expect_event(&data, ZOO_CHANGED_EVENT, "/stays");
}

static void expiry(zhandle_t *zk) {
    struct events gone = NO_EVENTS;
    int status;
    /* A process that is frozen until its session has expired, and is told so when it wakes up. */
    pid_t frozen = fork();
    CHECK(frozen >= 0);
    if (frozen == 0) {
        execl("/proc/self/exe", "conformance", "--freeze", address, (char *)NULL);
        _exit(2);
    }
    CHECK(waitpid(frozen, &status, WUNTRACED) == frozen && WIFSTOPPED(status));
    if (zoo_wexists(zk, "/frozen", watch, &gone, NULL) == ZOK)
        expect_event(&gone, ZOO_DELETED_EVENT, "/frozen");
    CHECK(kill(frozen, SIGCONT) == 0);
    CHECK(waitpid(frozen, &status, 0) == frozen && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void freeze(void) {
    struct events states = NO_EVENTS;
    zhandle_t *zk = connect_as(NULL, 1000, &states);
    RETURNS(ZOK, zoo_create(zk, "/frozen", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0));
    raise(SIGSTOP);
    expect_state(&states, ZOO_EXPIRED_SESSION_STATE);
    exit(0);
}

int main(int argc, char **argv) {
    address = argv[argc - 1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    struct events states = NO_EVENTS;
    if (argc == 3)
        freeze();
    zhandle_t *zk = connect_as(NULL, TIMEOUT_MS, &states);
    puts("nodes");
    nodes(zk);
    puts("kinds of nodes");
    kinds_of_nodes(zk);
    puts("watches");
    watches(zk);
    puts("transactions");
    transactions(zk);
    puts("ACLs");
    acls(zk);
    puts("reconnect");
    reconnect(zk, &states);
    puts("expiry");
    expiry(zk);
    RETURNS(ZOK, zookeeper_close(zk));
    return 0;
}
