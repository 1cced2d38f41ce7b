/* The traffic of a bridged call set: sends RTP on both legs of every call, receives what the
 * system under test relays, and says what was lost and how late the rest was.
 *
 *   pump CALLS HOST_A HOST_B
 *
 * Binds an RTP and an RTCP socket a leg (A's on HOST_A, B's on HOST_B), prints
 * {"ports": [a0, b0, a1, b1, ...]} and then obeys lines on stdin:
 *
 *   to IP:PORT IP:PORT ...     where each leg sends to, in the order of the ports
 *   run RATE SECONDS           RATE packets a second a leg, evenly spread; prints one JSON line
 *   quit
 *
 * A packet is G.711 (12 + 160 bytes); its payload carries the leg that must receive it and the
 * time it was sent, so that a packet that went astray, was changed or came twice is noticed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 12, PAYLOAD = 160, MAGIC = 0x45545031, SLOTS = 200000 };

struct stamp {
    uint32_t magic, leg, run, number;
    uint64_t sent_ns;
};

struct leg {
    int fd, rtcp;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    struct sockaddr_in to;
};

static struct leg *legs;
static int leg_count, poller;
static uint32_t slots[SLOTS + 1]; /* delays, one slot a microsecond; the last is "longer" */
static uint64_t received, strays;
static uint64_t longest_ns;
static uint32_t run_number;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int bound(const char *host, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int room = 1 << 18;

    if (fd < 0 || inet_pton(AF_INET, host, &at.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return fd;
}

static uint16_t open_leg(struct leg *leg, const char *host)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        struct sockaddr_in at;
        socklen_t length = sizeof at;
        int fd = bound(host, 0);

        if (fd < 0)
            break;
        getsockname(fd, (struct sockaddr *)&at, &length);
        uint16_t port = ntohs(at.sin_port);
        int above = port % 2 ? -1 : bound(host, port + 1);
        if (above >= 0) {
            leg->fd = fd;
            leg->rtcp = above; /* so that RTCP sent to us meets no closed port */
            return port;
        }
        close(fd);
    }
    perror("pump: no free port pair");
    exit(1);
}

static void transmit(int index, uint32_t number)
{
    struct leg *leg = legs + index;
    uint8_t packet[HEADER + PAYLOAD];
    struct stamp stamp = {MAGIC, (uint32_t)(index ^ 1), run_number, number, 0};
    uint16_t sequence = htons(++leg->sequence);
    uint32_t timestamp = htonl(leg->timestamp += 160), ssrc = htonl(leg->ssrc);

    packet[0] = 0x80;
    packet[1] = 0; /* PCMU */
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    memset(packet + HEADER, 0xff, PAYLOAD);
    stamp.sent_ns = now_ns();
    memcpy(packet + HEADER, &stamp, sizeof stamp);
    sendto(leg->fd, packet, sizeof packet, 0, (struct sockaddr *)&leg->to, sizeof leg->to);
}

static void receive(int index)
{
    uint8_t packet[2048];
    ssize_t size;

    while ((size = recv(legs[index].fd, packet, sizeof packet, 0)) >= 0 || errno == ECONNREFUSED) {
        struct stamp stamp;

        if (size < 0)
            continue;
        if (size == HEADER + PAYLOAD)
            memcpy(&stamp, packet + HEADER, sizeof stamp);
        if (size != HEADER + PAYLOAD || stamp.magic != MAGIC || stamp.leg != (uint32_t)index ||
            (packet[1] & 0x7f) != 0) {
            strays++;
            continue;
        }
        if (stamp.run != run_number)
            continue; /* a straggler of the run before */
        uint64_t late = now_ns() - stamp.sent_ns;
        uint64_t slot = late / 1000;
        received++;
        if (late > longest_ns)
            longest_ns = late;
        slots[slot < SLOTS ? slot : SLOTS]++;
    }
}

/* Receive whatever arrives until the given moment. */
static void listen_until(uint64_t when)
{
    uint64_t now = now_ns();

    do {
        struct epoll_event ready[64];
        uint64_t left = when > now ? when - now : 0;
        struct timespec wait = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        int count = epoll_pwait2(poller, ready, 64, &wait, NULL);

        for (int i = 0; i < count; i++)
            receive((int)ready[i].data.u32);
        now = now_ns();
    } while (now < when);
}

static double delay(double share)
{
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)received);

    for (int i = 0; i <= SLOTS; i++)
        if ((seen += slots[i]) > wanted)
            return (double)i;
    return 0;
}

static void run(double rate, double seconds)
{
    uint64_t start, total = (uint64_t)(rate * seconds) * (uint64_t)leg_count;
    double gap = 1e9 / (rate * leg_count);

    run_number++;
    received = strays = longest_ns = 0;
    memset(slots, 0, sizeof slots);
    start = now_ns();
    for (uint64_t i = 0; i < total; i++) {
        uint64_t due = start + (uint64_t)((double)i * gap);
        if (now_ns() < due)
            listen_until(due);
        else if (i % 16 == 0)
            listen_until(0); /* behind: take what is there and go on */
        transmit((int)(i % (uint64_t)leg_count), (uint32_t)i);
    }
    uint64_t sending = now_ns() - start;
    listen_until(now_ns() + 200000000u);
    printf("{\"sent\": %llu, \"received\": %llu, \"strays\": %llu, \"seconds\": %.3f, "
           "\"delay_p50_us\": %.0f, \"delay_p99_us\": %.0f, \"delay_max_us\": %.0f}\n",
           (unsigned long long)total, (unsigned long long)received, (unsigned long long)strays,
           (double)sending / 1e9, delay(0.5), delay(0.99), (double)longest_ns / 1000);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int calls = argc == 4 ? atoi(argv[1]) : 0;
    struct rlimit files;
    char *line = NULL;
    size_t room = 0;

    if (calls < 1) {
        fprintf(stderr, "usage: pump CALLS HOST_A HOST_B\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    leg_count = calls * 2;
    legs = calloc((size_t)leg_count, sizeof *legs);
    poller = epoll_create1(0);
    printf("{\"ports\": [");
    for (int i = 0; i < leg_count; i++) {
        struct epoll_event want = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        printf("%s%d", i ? ", " : "", open_leg(legs + i, argv[2 + i % 2]));
        legs[i].ssrc = 0x10000u + (uint32_t)i * 7919u;
        legs[i].sequence = (uint16_t)(1000 + i);
        epoll_ctl(poller, EPOLL_CTL_ADD, legs[i].fd, &want);
    }
    printf("]}\n");
    fflush(stdout);

    while (getline(&line, &room, stdin) > 0) {
        double rate, seconds;

        if (strncmp(line, "to ", 3) == 0) {
            char *rest = line + 3, *word;
            int i = 0;

            while ((word = strsep(&rest, " \n")) && i < leg_count) {
                char host[64];
                unsigned port;
                if (sscanf(word, "%63[^:]:%u", host, &port) != 2)
                    continue;
                legs[i].to.sin_family = AF_INET;
                legs[i].to.sin_port = htons((uint16_t)port);
                inet_pton(AF_INET, host, &legs[i++].to.sin_addr);
            }
            printf("{\"legs\": %d}\n", i);
            fflush(stdout);
        } else if (sscanf(line, "run %lf %lf", &rate, &seconds) == 2) {
            run(rate, seconds);
        } else {
            break;
        }
    }
    return 0;
}
