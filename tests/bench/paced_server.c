/* A Modbus RTU server on a pty that is as slow as a real wire, and as faulty as asked.
 *
 * Owns baud-true time: a request of n characters occupies the wire n * bits / baud from its arrival,
 * the reply starts one turnaround later and its characters end one by one. It counts what a strict
 * bus would object to (requests that start less than t3.5 after the last frame, collisions) and
 * injects faults. An independent peer: shares no code with the gateway.
 *
 * Control: one command per line on standard input, one line of JSON back. Ends with its input.
 * With --relay PATH the answers come from another server (libmodbus, pymodbus) that opens the tty PATH.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

typedef int64_t ns_t;
enum { BYTE, FIFO, FTDI };
enum { QUEUE, DROP, FULL };
enum { F_NONE, F_FLIP, F_DROP, F_TRUNC, F_SPLIT, F_GBEF, F_GBET, F_FOREIGN, F_FMASTER, F_WUNIT,
       F_DUP, F_NOREPLY, F_LATE, F_ECHO, F_BUSY, F_COUNT };
static const char *FAULT[F_COUNT] = { "none", "flip", "drop", "trunc", "split", "gbef", "gbet",
    "foreign", "fmaster", "wunit", "dup", "noreply", "late", "echo", "busy" };
#define MIXED 13 /* F_FLIP .. F_ECHO take part in "mix" */
#define TOLERANCE_NS 60000

static int baud = 19200, bits = 11, delivery = BYTE, model = QUEUE;
static ns_t turn = 2000000, tick = 1000000, late = 250000000, pause_ns = 18000000;
static int refuse_first = 65536, refuse_last = 65536, max_registers = 125;
static uint8_t answers[256];
static const char *link_path, *relay_path;
static ns_t tc, t35;
static double probability;
static int fault_kind = F_NONE, mix, next_fault = F_NONE, next_count, always_echo;

static int master = -1, own_slave = -1, upstream = -1, upstream_slave = -1;

static struct { ns_t end; uint8_t value; } tx[16384];
static int tx_n;
static ns_t tx_passed = LLONG_MIN / 4;        /* end of the last character given to the client */
static uint8_t rx[1024];
static int rx_n;
static ns_t rx_start, rx_end = LLONG_MIN / 4; /* of the client's last burst on the wire */
static ns_t busy_until = LLONG_MIN / 4;
static ns_t relay_at, relay_earliest;         /* 0: nothing waits to be handed upstream */
static uint8_t relay_request[300], relay_reply[600];
static int relay_request_n, relay_reply_n, relay_waiting;
static long n_requests, n_bad, n_violations, n_collisions, n_ignored, n_replies, n_faults[F_COUNT];
static ns_t shortest_gap = LLONG_MAX / 4;
static uint16_t *store[256][2];
static uint8_t *bitstore[256][2];

static ns_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint64_t seed_state = 1;
static uint32_t rnd(void) { /* xorshift64* */
    seed_state ^= seed_state >> 12; seed_state ^= seed_state << 25; seed_state ^= seed_state >> 27;
    return (uint32_t)((seed_state * 2685821657736338717ULL) >> 32);
}
static int below(int n) { return n <= 0 ? 0 : (int)(rnd() % (uint32_t)n); }

static uint16_t crc16(const uint8_t *p, int n) {
    uint16_t crc = 0xFFFF;
    while (n--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) crc = crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1;
    }
    return crc;
}
static int seal(uint8_t *p, int n) {
    uint16_t crc = crc16(p, n);
    p[n] = crc & 0xFF; p[n + 1] = crc >> 8;
    return n + 2;
}

/* What the registers hold from the start: tests/paced.py knows the same formula. */
static uint16_t initial(int unit, int input, int address) {
    uint32_t x = (uint32_t)unit * 40503u + (uint32_t)input * 977u + (uint32_t)address * 2654435761u;
    x ^= x >> 15; x *= 2246822519u; x ^= x >> 13;
    return x & 0xFFFF;
}
static uint16_t *registers(int unit, int input) {
    if (!store[unit][input]) {
        store[unit][input] = malloc(65536 * 2);
        for (int a = 0; a < 65536; a++) store[unit][input][a] = initial(unit, input, a);
    }
    return store[unit][input];
}
static uint8_t *bit_table(int unit, int discrete) {
    if (!bitstore[unit][discrete]) {
        bitstore[unit][discrete] = malloc(65536);
        for (int a = 0; a < 65536; a++) bitstore[unit][discrete][a] = initial(unit, 2 + discrete, a) & 1;
    }
    return bitstore[unit][discrete];
}

/* ---- the wire towards the client ---- */
static void put(ns_t end, uint8_t value) {
    int i = tx_n;
    if (tx_n >= 16383) return;
    while (i > 0 && tx[i - 1].end > end) { tx[i] = tx[i - 1]; i--; }
    tx[i].end = end; tx[i].value = value; tx_n++;
}
static ns_t emit(const uint8_t *p, int n, ns_t start) {
    for (int i = 0; i < n; i++) put(start + (i + 1) * tc, p[i]);
    return start + n * tc;
}
/* When the adapter hands characters over next, and how many. */
static ns_t delivery_at(int *count) {
    int n = 0;
    ns_t at;
    if (!tx_n) return LLONG_MAX;
    if (delivery == BYTE) { *count = 1; return tx[0].end; }
    if (delivery == FIFO) {
        ns_t idle = 32LL * 1000000000LL / baud;
        for (n = 1; n < 8 && n < tx_n && tx[n].end - tx[n - 1].end <= idle; n++) {}
        *count = n;
        return n == 8 ? tx[7].end : tx[n - 1].end + idle;
    }
    at = (tx[0].end / tick + 1) * tick;
    while (n < tx_n && n < 62 && tx[n].end <= at) n++;
    *count = n;
    return n == 62 && tx[61].end < at ? tx[61].end : at;
}
static void deliver(ns_t t) {
    int count;
    while (tx_n && delivery_at(&count) <= t) {
        uint8_t chunk[64];
        for (int i = 0; i < count; i++) chunk[i] = tx[i].value;
        tx_passed = tx[count - 1].end;
        memmove(tx, tx + count, (tx_n - count) * sizeof tx[0]);
        tx_n -= count;
        if (master >= 0 && write(master, chunk, count) < 0 && errno != EAGAIN && errno != EIO) perror("write");
    }
}

/* ---- answering ---- */
static int exception(uint8_t *reply, const uint8_t *request, int code) {
    reply[0] = request[0]; reply[1] = request[1] | 0x80; reply[2] = code;
    return seal(reply, 3);
}
static int answer(const uint8_t *q, uint8_t *r) {
    int unit = q[0], function = q[1], address = q[2] << 8 | q[3], count = q[4] << 8 | q[5], n = 3;
    int items = function == 5 || function == 6 ? 1 : count;
    r[0] = unit; r[1] = function;
    if (function < 1 || (function > 6 && function != 15 && function != 16)) return exception(r, q, 1);
    if (address + items > 65536 || (address <= refuse_last && address + items > refuse_first))
        return exception(r, q, 2);
    if (function <= 2) {
        uint8_t *table = bit_table(unit, function == 2);
        if (!count || count > 2000) return exception(r, q, 3);
        r[2] = (count + 7) / 8;
        memset(r + 3, 0, r[2]);
        for (int i = 0; i < count; i++) r[3 + i / 8] |= table[address + i] << (i % 8);
        n = 3 + r[2];
    } else if (function <= 4) {
        uint16_t *table = registers(unit, function == 4);
        if (!count || count > max_registers) return exception(r, q, 3);
        r[2] = 2 * count;
        for (int i = 0; i < count; i++) { r[n++] = table[address + i] >> 8; r[n++] = table[address + i] & 0xFF; }
    } else {
        if (function == 5) bit_table(unit, 0)[address] = q[4] == 0xFF;
        if (function == 6) registers(unit, 0)[address] = count;
        for (int i = 0; function == 15 && i < count; i++)
            bit_table(unit, 0)[address + i] = q[7 + i / 8] >> (i % 8) & 1;
        for (int i = 0; function == 16 && i < count; i++)
            registers(unit, 0)[address + i] = q[7 + 2 * i] << 8 | q[8 + 2 * i];
        memcpy(r + 2, q + 2, 4);
        n = 6;
    }
    return seal(r, n);
}

static int choose_fault(void) {
    int kind = F_NONE;
    if (next_count > 0) { next_count--; kind = next_fault; }
    else if (probability > 0 && (rnd() & 0xFFFFFF) < probability * 0x1000000)
        kind = mix ? 1 + below(MIXED) : fault_kind;
    n_faults[kind]++;
    return kind;
}
static ns_t garbage(ns_t start) {
    uint8_t bytes[8];
    int n = 1 + below(6);
    for (int i = 0; i < n; i++) bytes[i] = rnd();
    return emit(bytes, n, start);
}
/* Put the reply on the wire from `start` on, spoilt by one fault; returns when the device is free. */
static ns_t send_reply(const uint8_t *request, int request_n, const uint8_t *good, int n, ns_t start, ns_t request_end) {
    uint8_t r[300], other[300];
    int kind = choose_fault(), at, m;
    memcpy(r, good, n);
    if (always_echo || kind == F_ECHO) emit(request, request_n, request_end - request_n * tc);
    n_replies++;
    switch (kind) {
    case F_FLIP: r[below(n)] ^= 1 << below(8); break;
    case F_DROP: at = below(n); memmove(r + at, r + at + 1, n - at - 1); n--; break;
    case F_TRUNC: n = 1 + below(n - 1); break;
    case F_SPLIT: at = 1 + below(n - 1); emit(r, at, start); return emit(r + at, n - at, start + at * tc + pause_ns);
    case F_GBEF: start = garbage(start); break;
    case F_GBET:
        request_end = garbage(request_end + tc) + 2 * tc;
        if (start < request_end) start = request_end;
        break;
    case F_FMASTER:
        m = seal(memcpy(other, "\x63\x03\x00\x10\x00\x0a", 6), 6);
        start = emit(other, m, start) + turn; /* then the foreign server's reply: */ /* fall through */
    case F_FOREIGN:
        memcpy(other, good, n);
        other[0] = 0x63;
        for (int i = 3; i < n - 2; i++) other[i] = rnd();
        start = emit(other, seal(other, n - 2), start) + t35;
        break;
    case F_WUNIT: r[0] = 0x63; seal(r, n - 2); break;
    case F_DUP: start = emit(r, n, start) + 2000000; break;
    case F_NOREPLY: n_replies--; return start;
    case F_LATE: start += late + below(100) * 1000000LL; break;
    case F_BUSY: n = exception(r, request, 6); break;
    }
    return emit(r, n, start);
}

/* A whole request ended on the wire at `end`. */
static void request_done(uint8_t *q, int n, ns_t end) {
    uint8_t reply[300];
    int m, broadcast = q[0] == 0;
    ns_t from = end > busy_until ? end : busy_until;
    n_requests++;
    if (crc16(q, n)) { n_bad++; return; }
    if (!broadcast && !answers[q[0]]) return;
    if (model == DROP && end - n * tc < busy_until) { n_ignored++; return; }
    if (relay_path) {
        memcpy(relay_request, q, n);
        relay_request_n = n; relay_reply_n = 0; relay_at = from; relay_earliest = from + turn;
        return;
    }
    if (broadcast) {
        for (int u = 1; u < 248; u++) if (answers[u]) { q[0] = u; answer(q, reply); }
        busy_until = from + turn;
        return;
    }
    m = answer(q, reply);
    busy_until = send_reply(q, n, reply, m, from + turn, end);
}

/* ---- the wire from the client ---- */
static void collide(ns_t start, ns_t end, uint8_t *p, int n) {
    int hit = 0;
    if (model == FULL || always_echo) return;
    for (int i = 0; i < tx_n; i++)
        if (tx[i].end > start && tx[i].end - tc < end) { tx[i].value ^= 1 + below(255); hit = 1; }
    if (!hit) return;
    n_collisions++;
    for (int i = 0; i < n; i++) p[i] ^= 1 + below(255);
}
static void receive(uint8_t *p, int n, ns_t t) {
    ns_t start = t > rx_end ? t : rx_end, end = start + n * tc;
    if (start > rx_end) { /* a new burst: how long was the wire silent? */
        ns_t last = tx_passed > rx_end ? tx_passed : rx_end;
        for (int i = 0; i < tx_n && tx[i].end <= start; i++) if (tx[i].end > last) last = tx[i].end;
        if (start - last < shortest_gap) shortest_gap = start - last;
        if (start - last < t35 - TOLERANCE_NS) n_violations++;
        if (start - rx_end > t35) rx_n = 0;
        rx_start = start;
    }
    collide(start, end, p, n);
    rx_end = end;
    if (rx_n + n > (int)sizeof rx) rx_n = 0;
    memcpy(rx + rx_n, p, n);
    rx_n += n;
    for (;;) {
        int length = rx_n < 8 ? 0 : rx[1] == 15 || rx[1] == 16 ? 9 + rx[6] : 8;
        if (!length || rx_n < length) return;
        request_done(rx, length, rx_end - (rx_n - length) * tc);
        memmove(rx, rx + length, rx_n - length);
        rx_n -= length;
    }
}

/* ---- relay ---- */
static int relay_length(void) {
    if (relay_reply_n < 5) return 0;
    if (relay_reply[1] & 0x80) return 5;
    return relay_reply[1] <= 4 ? 5 + relay_reply[2] : 8;
}
static void relay_send(void) {
    if (write(upstream, relay_request, relay_request_n) < 0) perror("relay write");
    relay_at = 0; relay_reply_n = 0;
    relay_waiting = relay_request[0] != 0;
}
static void relay_read(void) {
    int n = read(upstream, relay_reply + relay_reply_n, sizeof relay_reply - relay_reply_n), length;
    if (n > 0) relay_reply_n += n;
    length = relay_length();
    if (!relay_waiting || !length || relay_reply_n < length) {
        if (relay_reply_n > 300) relay_reply_n = 0;
        return;
    }
    ns_t t = now(), start = t > relay_earliest ? t : relay_earliest;
    busy_until = send_reply(relay_request, relay_request_n, relay_reply, length, start, relay_earliest - turn);
    relay_waiting = 0; relay_reply_n = 0;
}

/* ---- pty ---- */
static int new_pty(int *slave, const char *path) {
    char name[128], fresh[4096];
    struct termios raw;
    int fd;
    if (openpty(&fd, slave, name, NULL, NULL)) { perror("openpty"); exit(1); }
    tcgetattr(*slave, &raw); cfmakeraw(&raw); tcsetattr(*slave, TCSANOW, &raw);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC); fcntl(*slave, F_SETFD, FD_CLOEXEC);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh);
    if (symlink(name, fresh) || rename(fresh, path)) { perror(path); exit(1); }
    return fd;
}
static void plug(void) {
    master = new_pty(&own_slave, link_path);
    tx_n = rx_n = 0; rx_end = tx_passed = busy_until = LLONG_MIN / 4;
}
static void unplug(void) {
    if (master >= 0) close(master);
    if (own_slave >= 0) close(own_slave);
    master = own_slave = -1;
    unlink(link_path);
    tx_n = rx_n = 0;
}

static int fault_named(const char *name) {
    for (int i = 0; i < F_COUNT; i++) if (!strcmp(name, FAULT[i])) return i;
    return -1;
}
static void print_stats(void) {
    printf("{\"requests\":%ld,\"bad\":%ld,\"violations\":%ld,\"collisions\":%ld,\"ignored\":%ld,"
           "\"replies\":%ld,\"shortest_gap_us\":%.1f,\"t35_us\":%.1f,\"faults\":{",
           n_requests, n_bad, n_violations, n_collisions, n_ignored, n_replies, shortest_gap / 1e3, t35 / 1e3);
    for (int i = 1; i < F_COUNT; i++) printf("%s\"%s\":%ld", i > 1 ? "," : "", FAULT[i], n_faults[i]);
    printf("}}\n");
}
static void command(char *line) {
    char word[32] = "", name[32] = "";
    double x = 0;
    int n = sscanf(line, "%31s %31s %lf", word, name, &x);
    if (!strcmp(word, "stats")) { print_stats(); fflush(stdout); return; }
    if (!strcmp(word, "reset")) {
        n_requests = n_bad = n_violations = n_collisions = n_ignored = n_replies = 0;
        memset(n_faults, 0, sizeof n_faults);
        shortest_gap = LLONG_MAX / 4;
    } else if (!strcmp(word, "fault") && n == 3) { /* fault KIND PROBABILITY; mix; echo is for ever */
        mix = !strcmp(name, "mix");
        fault_kind = mix ? F_NONE : fault_named(name);
        probability = x;
        always_echo = fault_kind == F_ECHO && x >= 1;
        if (always_echo) probability = 0;
    } else if (!strcmp(word, "next") && n >= 2) { /* next KIND [COUNT]: the next requests for sure */
        next_fault = fault_named(name); next_count = n == 3 ? (int)x : 1;
    } else if (!strcmp(word, "turn")) turn = atof(name) * 1e6;
    else if (!strcmp(word, "late")) late = atof(name) * 1e6;
    else if (!strcmp(word, "unplug")) unplug();
    else if (!strcmp(word, "plug")) plug();
    else if (!strcmp(word, "refuse") && n == 3) { refuse_first = atoi(name); refuse_last = (int)x; }
    else if (!strcmp(word, "limit")) max_registers = atoi(name);
    else if (!strcmp(word, "answer") && n == 3) answers[atoi(name)] = x != 0;
    else if (!strcmp(word, "noise") && master >= 0) garbage(now());
    else if (!strcmp(word, "babble") && master >= 0) /* babble SECONDS: nobody falls silent */
        for (ns_t t = now(), end = t + (ns_t)(atof(name) * 1e9); t < end && tx_n < 16000; t += 10 * tc) put(t, rnd());
    else { printf("{\"error\":\"unknown command\"}\n"); fflush(stdout); return; }
    printf("{}\n"); fflush(stdout);
}

static void arguments(int argc, char **argv) {
    answers[1] = answers[2] = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *key = argv[i], *value = argv[i + 1];
        if (!strcmp(key, "--link")) link_path = value;
        else if (!strcmp(key, "--relay")) relay_path = value;
        else if (!strcmp(key, "--baud")) baud = atoi(value);
        else if (!strcmp(key, "--bits")) bits = atoi(value);
        else if (!strcmp(key, "--turn-ms")) turn = atof(value) * 1e6;
        else if (!strcmp(key, "--seed")) seed_state = strtoull(value, NULL, 10) * 2654435761ULL + 88172645463325252ULL;
        else if (!strcmp(key, "--model")) model = !strcmp(value, "drop") ? DROP : !strcmp(value, "full") ? FULL : QUEUE;
        else if (!strcmp(key, "--delivery")) {
            delivery = !strcmp(value, "byte") ? BYTE : !strcmp(value, "fifo") ? FIFO : FTDI;
            if (delivery == FTDI) tick = atof(value + 4) * 1e6;
        } else if (!strcmp(key, "--rt")) {
            struct sched_param param = { .sched_priority = atoi(value) };
            if (param.sched_priority && sched_setscheduler(0, SCHED_RR, &param)) perror("sched_setscheduler");
        } else { fprintf(stderr, "unknown option %s\n", key); exit(2); }
    }
    tc = bits * 1000000000LL / baud;
    t35 = baud > 19200 ? 1750000 : 7 * tc / 2;
}

int main(int argc, char **argv) {
    char line[256];
    int line_n = 0;
    arguments(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1);
    if (!link_path) { fprintf(stderr, "--link is needed\n"); return 2; }
    if (relay_path) {
        upstream = new_pty(&upstream_slave, relay_path);
    }
    plug();
    printf("{}\n"); fflush(stdout);
    for (;;) {
        int count;
        ns_t t = now(), due = delivery_at(&count), wait;
        struct pollfd fds[3] = { { 0, POLLIN, 0 }, { master, POLLIN, 0 }, { upstream, POLLIN, 0 } };
        if (relay_at && relay_at < due) due = relay_at;
        wait = due == LLONG_MAX ? 1000000000LL : due - t - 40000; /* the last 40 us are spun */
        struct timespec ts = { wait <= 0 ? 0 : wait / 1000000000LL, wait <= 0 ? 0 : wait % 1000000000LL };
        if (ppoll(fds, 3, &ts, NULL) < 0 && errno != EINTR) return 1;
        t = now();
        if (fds[1].revents) {
            uint8_t bytes[300];
            int n = read(master, bytes, sizeof bytes);
            if (n > 0) receive(bytes, n, t);
        }
        if (relay_at && relay_at <= t) relay_send();
        if (fds[2].revents) relay_read();
        deliver(t);
        if (fds[0].revents) {
            int n = read(0, line + line_n, sizeof line - 1 - line_n);
            if (n <= 0) { unplug(); if (relay_path) unlink(relay_path); return 0; }
            line_n += n;
            line[line_n] = 0;
            char *end;
            while ((end = strchr(line, '\n'))) {
                *end = 0;
                command(line);
                line_n -= end + 1 - line;
                memmove(line, end + 1, line_n + 1);
            }
        }
    }
}
