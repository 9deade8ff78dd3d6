/* Load generator for the centre's bench: many WebSocket clients on one epoll, one process.
 *
 * Reads from stdin, little-endian: u32 count, u32 port, u32 first_address, u32 seconds_ms,
 * u32 mode, u32 rate_milli, then per client: u16 n, request bytes; u16 n, hello message; u16 n,
 * schema message (or 0); u16 n, data message (or 0).  A message is unmasked payload; it is masked
 * here with a zero key (allowed by RFC 6455: the key is any 32 bits) so that the server still
 * applies its mask.
 * Modes: 0 idle (connect, hello, schema, stay), 1 closed loop (next data on each ack),
 * 2 paced (rate_milli/1000 messages a second and client, spread), 3 storm (connect all at once).
 * Data messages carry their seq at a fixed place: the bench gives its offset so that the client
 * counts up (u64 big-endian MessagePack 0xcf form), and CRC is patched by a table-driven CRC-32.
 * Prints one JSON line when all are open, then waits for a byte on stdin, runs, prints another.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IDLE, CLOSED, PACED };

typedef struct {
    int fd;
    uint8_t *part[4]; /* request, hello, schema, data */
    uint32_t len[4];
    uint8_t stage;    /* 0 connecting, 1 upgrade sent, 2 hello sent, 3 open */
    uint32_t have;
    uint8_t in[512];
    uint64_t seq;
    double sent, due;
    uint32_t waiting;
    uint32_t crc_seed;
} Client;

static uint32_t table[256];
static Client *clients;
static uint32_t count, port, first_address, mode, rate_milli, seconds_ms, in_flight_most;
static uint64_t acks, sends;
static double *latencies;
static uint64_t latency_count, latency_room;
static uint32_t opened, upgraded, failed;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static uint32_t crc32_of(const uint8_t *data, size_t n, uint32_t seed)
{
    uint32_t c = seed ^ 0xffffffffu;
    while (n--)
        c = table[(c ^ *data++) & 0xff] ^ (c >> 8);
    return c ^ 0xffffffffu;
}

static void send_all(Client *c, const uint8_t *data, size_t n)
{
    while (n) {
        ssize_t k = send(c->fd, data, n, MSG_NOSIGNAL);
        if (k < 0) {
            if (errno == EAGAIN || errno == EINTR)
                continue;
            failed++;
            return;
        }
        data += k;
        n -= (size_t)k;
    }
}

static void send_message(Client *c, const uint8_t *payload, uint32_t n)
{
    uint8_t frame[65536 + 16];
    uint32_t head;
    frame[0] = 0x82;
    if (n < 126) {
        frame[1] = 0x80 | n;
        head = 2;
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = n >> 8;
        frame[3] = n & 0xff;
        head = 4;
    }
    static const uint8_t key[4] = {0x5a, 0x13, 0xc7, 0x88};
    memcpy(frame + head, key, 4);
    for (uint32_t i = 0; i < n; i++)
        frame[head + 4 + i] = payload[i] ^ key[i & 3];
    send_all(c, frame, head + 4 + n);
}

/* part[3] is [4-byte offset of the record][message]; patch seq (header offset 10) and crc. */
static void send_data(Client *c, double t)
{
    uint8_t *message = c->part[3] + 8;
    uint32_t n = c->len[3] - 8, at, seed;
    memcpy(&at, c->part[3], 4);
    memcpy(&seed, c->part[3] + 4, 4);
    uint8_t *record = message + at;
    c->seq++;
    memcpy(record + 10, &c->seq, 8);
    uint32_t crc = crc32_of(record + 4, n - at - 4, seed);
    memcpy(record, &crc, 4);
    send_message(c, message, n);
    c->sent = t;
    c->waiting++;
    sends++;
}

static void note(double seconds)
{
    if (latency_count < latency_room)
        latencies[latency_count++] = seconds;
}

/* Server frames are unmasked and short here. Returns bytes used or 0. */
static uint32_t frame_length(const uint8_t *in, uint32_t have)
{
    if (have < 2)
        return 0;
    uint32_t n = in[1] & 0x7f, head = 2;
    if (n == 126) {
        if (have < 4)
            return 0;
        n = (uint32_t)in[2] << 8 | in[3];
        head = 4;
    }
    return head + n <= have ? head + n : 0;
}

static void readable(Client *c, int running)
{
    for (;;) {
        ssize_t k = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);
        if (k <= 0) {
            if (k == 0 || (errno != EAGAIN && errno != EINTR)) {
                failed++;
                close(c->fd);
                c->fd = -1;
            }
            return;
        }
        c->have += (uint32_t)k;
        double t = now();
        if (c->stage == 1) {
            uint8_t *end = memmem(c->in, c->have, "\r\n\r\n", 4);
            if (!end)
                return;
            if (memcmp(c->in, "HTTP/1.1 101", 12)) {
                failed++;
                close(c->fd);
                c->fd = -1;
                return;
            }
            uint32_t used = (uint32_t)(end + 4 - c->in);
            memmove(c->in, c->in + used, c->have -= used);
            upgraded++;
            note(t - c->sent);
            c->stage = 2;
            if (c->len[1])
                send_message(c, c->part[1], c->len[1]);
            else {
                c->stage = 3;
                opened++;
            }
        }
        uint32_t used;
        while ((used = frame_length(c->in, c->have))) {
            uint8_t opcode = c->in[0] & 0x0f;
            if (c->stage == 2) {
                c->stage = 3;
                opened++;
                if (c->len[2])
                    send_message(c, c->part[2], c->len[2]);
            } else if (opcode == 2 && running && c->waiting) {
                acks++;
                c->waiting--;
                note(t - c->sent);
                if (mode == CLOSED)
                    send_data(c, t);
            } else if (opcode == 9) {
                uint8_t pong[140];
                uint32_t n = c->in[1] & 0x7f;
                pong[0] = 0x8a;
                pong[1] = 0x80 | n;
                memset(pong + 2, 0, 4);
                memcpy(pong + 6, c->in + 2, n);
                send_all(c, pong, 6 + n);
            } else if (opcode == 8) {
                failed++;
            }
            memmove(c->in, c->in + used, c->have -= used);
        }
    }
}

static void must_read(void *to, size_t n)
{
    uint8_t *p = to;
    while (n) {
        ssize_t k = read(0, p, n);
        if (k <= 0)
            exit(3);
        p += k;
        n -= (size_t)k;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double p)
{
    if (!latency_count)
        return -1;
    uint64_t at = (uint64_t)(p * (double)latency_count);
    return latencies[at >= latency_count ? latency_count - 1 : at] * 1e3;
}

int main(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
    uint32_t head[7];
    must_read(head, sizeof head);
    count = head[0], port = head[1], first_address = head[2], seconds_ms = head[3];
    mode = head[4], rate_milli = head[5], in_flight_most = head[6];
    clients = calloc(count, sizeof *clients);
    latency_room = 8000000;
    latencies = malloc(latency_room * sizeof *latencies);
    for (uint32_t i = 0; i < count; i++)
        for (int k = 0; k < 4; k++) {
            uint16_t n;
            must_read(&n, 2);
            clients[i].len[k] = n;
            clients[i].part[k] = malloc(n ? n : 1);
            must_read(clients[i].part[k], n);
        }
    int ep = epoll_create1(0);
    struct epoll_event events[1024];
    double start = now();
    uint32_t begun = 0;
    double deadline = start + 60;
    while (opened + failed < count && now() < deadline) {
        while (begun < count && begun - opened - failed < in_flight_most) {
            Client *c = &clients[begun];
            c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            if (c->fd < 0) {
                perror("socket");
                return 4;
            }
            int one = 1;
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            setsockopt(c->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
            struct sockaddr_in from = {.sin_family = AF_INET};
            from.sin_addr.s_addr = htonl(0x7f000000u + first_address + begun / 200);
            if (bind(c->fd, (struct sockaddr *)&from, sizeof from))
                perror("bind");
            struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
            to.sin_addr.s_addr = htonl(0x7f000001u);
            c->sent = now();
            if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
                perror("connect");
                failed++;
            }
            struct epoll_event e = {.events = EPOLLOUT | EPOLLIN, .data.u32 = begun};
            epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
            begun++;
        }
        int n = epoll_wait(ep, events, 1024, 100);
        for (int i = 0; i < n; i++) {
            Client *c = &clients[events[i].data.u32];
            if (c->fd < 0)
                continue;
            if (c->stage == 0 && events[i].events & EPOLLOUT) {
                struct epoll_event e = {.events = EPOLLIN, .data.u32 = events[i].data.u32};
                epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
                c->stage = 1;
                send_all(c, c->part[0], c->len[0]);
            } else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c, 0);
        }
    }
    double took = now() - start;
    qsort(latencies, latency_count, sizeof *latencies, compare);
    printf("{\"opened\":%u,\"upgraded\":%u,\"failed\":%u,\"seconds\":%.4f,\"p50_ms\":%.3f,"
           "\"p99_ms\":%.3f}\n", opened, upgraded, failed, took, percentile(.5), percentile(.99));
    fflush(stdout);
    latency_count = 0;
    char go;
    /* Until told to go, answer pings. */
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (;;) {
        ssize_t k = read(0, &go, 1);
        if (k == 0)
            return 0;
        if (k == 1)
            break;
        int n = epoll_wait(ep, events, 1024, 20);
        for (int i = 0; i < n; i++)
            if (clients[events[i].data.u32].fd >= 0)
                readable(&clients[events[i].data.u32], 0);
    }
    start = now();
    double end = start + seconds_ms / 1e3, gap = 1000.0 / (rate_milli ? rate_milli : 1);
    uint32_t next = 0;
    if (mode == CLOSED)
        for (uint32_t i = 0; i < count; i++)
            if (clients[i].fd >= 0)
                send_data(&clients[i], now());
    double t, step = gap / count, due = start;
    while ((t = now()) < end) {
        int timeout = 10;
        if (mode == PACED) {
            while (due <= t) {
                if (clients[next].fd >= 0)
                    send_data(&clients[next], t);
                next = (next + 1) % count;
                due += step;
            }
            timeout = 1;
        }
        int n = epoll_wait(ep, events, 1024, timeout);
        for (int i = 0; i < n; i++)
            if (clients[events[i].data.u32].fd >= 0)
                readable(&clients[events[i].data.u32], 1);
    }
    took = now() - start;
    qsort(latencies, latency_count, sizeof *latencies, compare);
    printf("{\"sends\":%lu,\"acks\":%lu,\"failed\":%u,\"seconds\":%.4f,\"p50_ms\":%.3f,"
           "\"p99_ms\":%.3f}\n", sends, acks, failed, took, percentile(.5), percentile(.99));
    fflush(stdout);
    while (read(0, &go, 1) != 0) {
        int n = epoll_wait(ep, events, 1024, 20);
        for (int i = 0; i < n; i++)
            if (clients[events[i].data.u32].fd >= 0)
                readable(&clients[events[i].data.u32], 0);
    }
    return 0;
}
