// SPDX-License-Identifier: EUPL-1.2
/* Drives one gateway on this machine, and says what came back. One thread, epoll. Three ways:
 *   as fast as it answers   each connection keeps --streams requests under way
 *   at a --rate             request i is due at i/rate, and its latency counts from then, whether
 *                           or not it could be sent in time: a server that stalls is charged for
 *                           all whom it kept waiting
 *   --each                  a connection for each request: whole handshakes, or --resumed ones
 * So that the gateway's CPU can be read exactly, it says `ready` when its connections stand, begins
 * when a line comes on standard input, prints one JSON object at the end, and lets go of its
 * connections when standard input ends. */
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bench/load/wire.h"

#define TOKEN_FILE_MAX (64u << 20)
#define LATENCIES_MAX (1u << 23)
#define HANDSHAKES_AT_ONCE 4
#define NS_IN_S INT64_C(1000000000)
#define PATIENCE_NS (5 * NS_IN_S) /* for connections at the start, and answers at the end */

struct load {
    struct wire_plan plan;
    uint32_t connections;
    bool is_each;
    uint64_t requests; /* 0: until the time is over */
    double seconds;
    double rate; /* 0: as fast as it answers */
    int epoll;
    struct wire **wires;
    int64_t begun_ns;
    int64_t ends_ns;
    uint64_t asked;
    uint64_t answered;
    uint64_t ok; /* with a status of 2xx, or an echo */
    uint64_t failed;
    uint64_t full;
    uint64_t resumed;
    uint16_t refusal; /* the last status that was none of 2xx */
    const char *why;  /* the first failure */
    char group[32];
    uint32_t *latencies_us;
    size_t latency_count;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_IN_S + t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool may_ask(const struct load *l, int64_t now)
{
    if (!l->begun_ns || now >= l->ends_ns || (l->requests && l->asked >= l->requests))
        return false;
    return l->rate == 0 || (double)(now - l->begun_ns) * l->rate >= (double)l->asked * NS_IN_S;
}

/* When the next request is due: in the past where connections were not free. */
static int64_t due_ns(const struct load *l, int64_t now)
{
    return l->rate == 0 ? now : l->begun_ns + (int64_t)((double)l->asked * NS_IN_S / l->rate);
}

static void fill(struct load *l, struct wire *w, int64_t now)
{
    while (wire_room(w) && may_ask(l, now)) {
        wire_ask(w, due_ns(l, now));
        l->asked++;
    }
}

static void answered(struct wire *w, uint16_t status, int64_t due)
{
    struct load *l = w->plan->owner;
    const int64_t now = now_ns();
    const int64_t took_us = (now - due) / 1000;
    l->answered++;
    if (status >= 200 && status < 300)
        l->ok++;
    else if (status != 101)
        l->refusal = status;
    if (l->latency_count < LATENCIES_MAX)
        l->latencies_us[l->latency_count++] = took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
    if (!l->is_each)
        fill(l, w, now);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void watch(struct load *l, uint32_t i, int how)
{
    struct wire *w = l->wires[i];
    struct epoll_event e = {.events = EPOLLIN | (w->wants_out ? EPOLLOUT : 0), .data.u32 = i};
    epoll_ctl(l->epoll, how, w->fd, &e);
}

static void open_wire(struct load *l, uint32_t i)
{
    struct wire *w = l->wires[i] = wire_new(&l->plan);
    if (!w)
        die("no socket");
    if (l->is_each)
        fill(l, w, now_ns());
    w->wants_out = true; /* connected */
    watch(l, i, EPOLL_CTL_ADD);
}

static void note_handshake(struct load *l, struct wire *w)
{
    const char *group = OBJ_nid2sn((int)SSL_get_negotiated_group(w->ssl));
    if (SSL_session_reused(w->ssl))
        l->resumed++;
    else
        l->full++;
    snprintf(l->group, sizeof(l->group), "%s", group ? group : "");
}

/* What was under way on it has failed; a connection that never stood counts as one. */
static void bury(struct load *l, uint32_t i)
{
    struct wire *w = l->wires[i];
    const bool is_broken = w->why && !(w->is_leaving && !w->under_way);
    if (is_broken && !l->why)
        l->why = w->why;
    if (is_broken)
        l->failed += w->under_way ? w->under_way : !w->is_ready;
    l->answered += w->under_way;
    wire_free(w);
    l->wires[i] = NULL;
}

static bool is_over(const struct load *l, int64_t now)
{
    return l->failed > l->connections + 100 || (l->requests && l->answered >= l->requests) ||
           (now >= l->ends_ns && l->answered >= l->asked) || now >= l->ends_ns + PATIENCE_NS;
}

static void go_on(struct load *l, uint32_t i, int64_t now)
{
    struct wire *w = l->wires[i];
    const bool was_ready = w->is_ready;
    const bool waited = w->wants_out;
    const bool lives = wire_go_on(w);
    if (!was_ready && w->is_ready)
        note_handshake(l, w);
    const bool is_done =
        !w->under_way && (w->is_leaving || (l->is_each && l->begun_ns && w->is_ready));
    if (lives && !is_done) {
        if (waited != w->wants_out)
            watch(l, i, EPOLL_CTL_MOD);
        return;
    }
    bury(l, i);
    if (!l->is_each || may_ask(l, now))
        open_wire(l, i);
}

/* How long nothing can happen by the clock alone. */
static struct timespec patience(const struct load *l, int64_t now)
{
    int64_t until = l->ends_ns > now ? l->ends_ns : now + NS_IN_S / 100;
    if (l->rate != 0 && l->begun_ns && now < l->ends_ns && due_ns(l, now) < until)
        until = due_ns(l, now);
    /* Due already, and every connection full: an answer is what it waits for. */
    const int64_t ns = until > now ? until - now : NS_IN_S / 100;
    return (struct timespec){ns / NS_IN_S, ns % NS_IN_S};
}

/* Requests whose time has come, over the connections in turn. */
static void ask_in_turn(struct load *l, uint32_t *turn, int64_t now)
{
    for (uint32_t tried = 0; tried < l->connections && may_ask(l, now); tried++) {
        const uint32_t i = (*turn)++ % l->connections;
        struct wire *w = l->wires[i];
        if (!w || !w->is_ready || !wire_room(w))
            continue;
        wire_ask(w, due_ns(l, now));
        l->asked++;
        tried = 0;
        go_on(l, i, now);
    }
}

static int64_t turn_once(struct load *l)
{
    struct epoll_event events[128];
    const struct timespec wait = patience(l, now_ns());
    const int n = epoll_pwait2(l->epoll, events, 128, &wait, NULL);
    const int64_t now = now_ns();
    for (int i = 0; i < n; i++)
        if (l->wires[events[i].data.u32])
            go_on(l, events[i].data.u32, now);
    return now;
}

static uint32_t count_ready(const struct load *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->connections; i++)
        n += l->wires[i] && l->wires[i]->is_ready;
    return n;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* A few handshakes at a time: what is measured afterwards is not how a burst of them is borne. */
static void stand(struct load *l)
{
    const int64_t until = now_ns() + PATIENCE_NS + l->connections * (NS_IN_S / 100);
    l->ends_ns = until;
    for (uint32_t i = 0; i < l->connections; i++) {
        open_wire(l, i);
        while (i + 1 >= l->full + l->resumed + l->failed + HANDSHAKES_AT_ONCE && now_ns() < until)
            turn_once(l);
    }
    while (l->failed <= l->connections && now_ns() < until &&
           (count_ready(l) < l->connections || (l->plan.is_resumed && !l->plan.session)))
        turn_once(l);
}

static void let_go(struct load *l)
{
    for (uint32_t i = 0; i < l->connections; i++) {
        wire_free(l->wires[i]);
        l->wires[i] = NULL;
    }
}

static void run(struct load *l)
{
    uint32_t turn = 0;
    int64_t now = l->begun_ns = now_ns();
    l->full = l->resumed = l->failed = 0;
    l->ends_ns = now + (int64_t)(l->seconds * NS_IN_S);
    for (uint32_t i = 0; i < l->connections && l->rate == 0; i++) {
        if (l->is_each) {
            open_wire(l, i);
        } else if (l->wires[i]) {
            fill(l, l->wires[i], now);
            go_on(l, i, now);
        }
    }
    while (!is_over(l, now)) {
        now = turn_once(l);
        if (l->rate != 0)
            ask_in_turn(l, &turn, now);
    }
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t quantile(const struct load *l, double q)
{
    if (!l->latency_count)
        return 0;
    return l->latencies_us[(size_t)((double)(l->latency_count - 1) * q)];
}

static void report(struct load *l)
{
    const double took = (double)(now_ns() - l->begun_ns) / NS_IN_S;
    qsort(l->latencies_us, l->latency_count, sizeof(*l->latencies_us), compare);
    printf("{\"ok\": %lu, \"answered\": %lu, \"failed\": %lu, \"refusal\": %u, \"why\": \"%s\", "
           "\"seconds\": %.4f, \"standing\": %u, \"full\": %lu, \"resumed\": %lu, "
           "\"group\": \"%s\", \"p50_us\": %u, \"p99_us\": %u, \"p999_us\": %u}\n",
           l->ok, l->answered, l->failed, l->refusal, l->why ? l->why : "", took, count_ready(l),
           l->full, l->resumed, l->group, quantile(l, 0.5), quantile(l, 0.99), quantile(l, 0.999));
    fflush(stdout);
}

/* True when a line has come, false when standard input has ended. */
static bool wait_for_line(void)
{
    char c = 0;
    while (c != '\n')
        if (read(STDIN_FILENO, &c, 1) != 1)
            return false;
    return true;
}

/* ---- options --------------------------------------------------------------------------------- */

struct files {
    const char *ca;
    const char *cert; /* NULL: it shows none */
    const char *key;
    const char *groups;
    const char *tokens; /* one a line */
    uint64_t token_from;
    uint64_t token_count;
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct wire_plan *plan = SSL_get_app_data(ssl);
    SSL_SESSION_free(plan->session);
    plan->session = session;
    return 1; /* the reference is ours now */
}

static SSL_CTX *make_ctx(const struct files *files, bool is_h2)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *alpn = is_h2 ? "\x02h2" : "\x08http/1.1";
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(ctx, files->groups) ||
        !SSL_CTX_load_verify_file(ctx, files->ca) ||
        SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, (unsigned)strlen(alpn)))
        die("cannot set up TLS");
    if (files->cert && (!SSL_CTX_use_certificate_chain_file(ctx, files->cert) ||
                        !SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM)))
        die("cannot read the client's certificate");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    return ctx;
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    uint64_t n;
    if (!slice_u64(slice_of(text), most, &n) || n < least)
        die("a number is out of range");
    return n;
}

/* The file's bytes stay for as long as the program runs. */
static void read_tokens(struct wire_plan *plan, const struct files *files)
{
    struct fault fault;
    struct slice rest;
    if (!file_read(&rest, files->tokens, TOKEN_FILE_MAX, &fault))
        die(fault.text);
    plan->tokens = mem_array(struct slice, files->token_count);
    for (uint64_t i = 0; rest.len && plan->token_count < files->token_count; i++) {
        const struct slice line = slice_cut(&rest, '\n');
        if (i >= files->token_from)
            plan->tokens[plan->token_count++] = line;
    }
    if (plan->token_count < files->token_count)
        die("not so many tokens");
    plan->is_each = plan->token_count > 1;
}

// clang-format off
static void parse(struct load *l, struct files *files, int argc, char **argv)
{
    enum {
        PORT = 256, CONNECTIONS, STREAMS, HOST, PATH, CA, CERT, KEY, GROUPS, TOKENS, TOKEN_FROM, TOKEN_COUNT,
        TOKEN_INDEXED, H1, WEBSOCKET, UPLOAD, MILLISECONDS, REQUESTS, RATE, EACH, RESUMED
    };
    static const struct option options[] = {
        {"port", 1, NULL, PORT}, {"connections", 1, NULL, CONNECTIONS}, {"streams", 1, NULL, STREAMS},
        {"host", 1, NULL, HOST}, {"path", 1, NULL, PATH}, {"upload", 1, NULL, UPLOAD},
        {"ca", 1, NULL, CA}, {"cert", 1, NULL, CERT}, {"key", 1, NULL, KEY}, {"groups", 1, NULL, GROUPS},
        {"tokens", 1, NULL, TOKENS}, {"token-from", 1, NULL, TOKEN_FROM},
        {"token-count", 1, NULL, TOKEN_COUNT}, {"token-indexed", 0, NULL, TOKEN_INDEXED},
        {"h1", 0, NULL, H1}, {"websocket", 0, NULL, WEBSOCKET},
        {"milliseconds", 1, NULL, MILLISECONDS}, {"requests", 1, NULL, REQUESTS}, {"rate", 1, NULL, RATE},
        {"each", 0, NULL, EACH}, {"resumed", 0, NULL, RESUMED}, {NULL, 0, NULL, 0}};
    struct wire_plan *plan = &l->plan;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case PORT: plan->address.sin_port = htons((uint16_t)number(optarg, 1, 65535)); break;
        case CONNECTIONS: l->connections = (uint32_t)number(optarg, 1, 10000); break;
        case STREAMS: plan->streams = (uint32_t)number(optarg, 1, WIRE_STREAMS_MAX); break;
        case HOST: plan->host = optarg; break;
        case PATH: plan->path = optarg; break;
        case UPLOAD: plan->body = number(optarg, 1, 1u << 30); break;
        case CA: files->ca = optarg; break;
        case CERT: files->cert = optarg; break;
        case KEY: files->key = optarg; break;
        case GROUPS: files->groups = optarg; break;
        case TOKENS: files->tokens = optarg; break;
        case TOKEN_FROM: files->token_from = number(optarg, 0, 10000000); break;
        case TOKEN_COUNT: files->token_count = number(optarg, 1, 10000000); break;
        case TOKEN_INDEXED: plan->is_indexed = true; break;
        case H1: plan->kind = WIRE_H1; break;
        case WEBSOCKET: plan->kind = WIRE_WEBSOCKET; break;
        case MILLISECONDS: l->seconds = (double)number(optarg, 1, 3600000) / 1000; break;
        case REQUESTS: l->requests = number(optarg, 1, 100000000); break;
        case RATE: l->rate = (double)number(optarg, 1, 1000000); break;
        case EACH: l->is_each = true; break;
        case RESUMED: plan->is_resumed = true; break;
        default: exit(2);
        }
    }
    if (!files->ca || !plan->address.sin_port || (files->cert && !files->key))
        die("--port and --ca must be given, and --key with --cert");
    if (plan->kind != WIRE_H2)
        plan->streams = 1;
}
// clang-format on

int main(int argc, char **argv)
{
    static struct load l = {.connections = 1, .seconds = 1};
    struct files files = {.groups = "X25519:P-256", .token_count = 1};
    l.plan = (struct wire_plan){
        .host = "localhost", .path = "/", .streams = 1, .answered = answered, .owner = &l};
    l.plan.address.sin_family = AF_INET;
    l.plan.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    parse(&l, &files, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    base_init();
    if (files.tokens)
        read_tokens(&l.plan, &files);
    l.plan.ctx = make_ctx(&files, l.plan.kind == WIRE_H2);
    wire_plan_make(&l.plan);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.wires = mem_array(struct wire *, l.connections);
    l.latencies_us = mem_array(uint32_t, LATENCIES_MAX);
    if (!l.is_each || l.plan.is_resumed)
        stand(&l);
    if (l.is_each)
        let_go(&l);
    puts("ready");
    fflush(stdout);
    if (wait_for_line()) {
        run(&l);
        report(&l);
        (void)wait_for_line();
    }
    let_go(&l);
    wire_plan_fini(&l.plan);
    SSL_CTX_free(l.plan.ctx);
    mem_free(l.wires);
    mem_free(l.latencies_us);
    return 0;
}
