/* The traffic of a bridged call set: sends RTP on both legs of every call, receives what the
 * system under test passes on, and says what was lost and how late the rest was.
 *
 *   pump CALLS HOST_A HOST_B [TYPE_A TYPE_B]
 *
 * Binds an RTP and an RTCP socket a leg (A's on HOST_A, B's on HOST_B), prints
 * {"ports": [a0, b0, a1, b1, ...]} and then obeys lines on stdin:
 *
 *   to IP:PORT IP:PORT ...     where each leg sends to, in the order of the ports
 *   keys HEX HEX HEX HEX ...   SRTP: each leg's key for sending and for receiving, master key and
 *                              salt, AES_CM_128_HMAC_SHA1_80 (compiled WITH_SRTP)
 *   run RATE SECONDS CALLS     RATE packets a second on each leg of the first so many calls,
 *                              evenly spread; prints one JSON line
 *   quit
 *
 * A packet is G.711 (12 + 160 bytes), TYPE 0 (µ-law) or 8 (A-law). Its 160 samples are as loud as
 * can be, and the sign of each is one bit of a stamp: which leg must receive it and when it was
 * sent. Signs survive transcoding. Where both types are equal every byte must arrive unchanged.
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
#ifdef WITH_SRTP
#include "srtp.h"
#endif

enum { HEADER = 12, PAYLOAD = 160, TRAILER = 32, MAGIC = 0x45545031, SLOTS = 200000 };

struct stamp {
    uint32_t magic;
    uint16_t leg, run;
    uint32_t number, sent_low, sent_high; /* nanoseconds */
};

_Static_assert(sizeof(struct stamp) * 8 == PAYLOAD, "one sample carries one bit");

struct leg {
    int fd, rtcp, type;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    struct sockaddr_in to;
#ifdef WITH_SRTP
    srtp_t outbound, inbound;
#endif
};

static struct leg *legs;
static int leg_count, poller, secured;
static uint32_t slots[SLOTS + 1]; /* delays, one slot a microsecond; the last is "longer" */
static uint64_t received, strays, changed, foreign;
static uint64_t longest_ns;
static uint16_t run_number;
static uint8_t loud[2][256][8]; /* the eight samples that say a byte, in µ-law and A-law */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void spell(uint8_t *payload, const struct stamp *stamp, int type)
{
    const uint8_t *bytes = (const uint8_t *)stamp;

    for (size_t i = 0; i < sizeof *stamp; i++)
        memcpy(payload + 8 * i, loud[type == 8][bytes[i]], 8);
}

static void read_signs(struct stamp *stamp, const uint8_t *payload)
{
    uint8_t *bytes = (uint8_t *)stamp;

    for (size_t i = 0; i < sizeof *stamp; i++) {
        uint64_t eight;

        memcpy(&eight, payload + 8 * i, 8);
        bytes[i] = (uint8_t)((((eight >> 7) & 0x0101010101010101u) * 0x0102040810204080u) >> 56);
    }
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

#ifdef WITH_SRTP
static srtp_t session(const char *hex, srtp_ssrc_type_t direction)
{
    static uint8_t key[30];
    srtp_policy_t policy;
    srtp_t made;

    memset(&policy, 0, sizeof policy);
    for (size_t i = 0; i < sizeof key; i++)
        if (sscanf(hex + 2 * i, "%2hhx", key + i) != 1)
            exit(2);
    srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    policy.ssrc.type = direction;
    policy.key = key;
    policy.window_size = 1024;
    if (srtp_create(&made, &policy) != srtp_err_status_ok)
        exit(3);
    return made;
}
#endif

static void transmit(int index, uint32_t number)
{
    struct leg *leg = legs + index;
    uint8_t packet[HEADER + PAYLOAD + TRAILER] __attribute__((aligned(8)));
    uint16_t sequence = htons(++leg->sequence);
    uint32_t timestamp = htonl(leg->timestamp += 160), ssrc = htonl(leg->ssrc);
    uint64_t sent = now_ns();
    struct stamp stamp = {MAGIC,  (uint16_t)(index ^ 1), run_number,
                          number, (uint32_t)sent,        (uint32_t)(sent >> 32)};
    int size = HEADER + PAYLOAD;

    packet[0] = 0x80;
    packet[1] = (uint8_t)leg->type;
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    spell(packet + HEADER, &stamp, leg->type);
#ifdef WITH_SRTP
    if (secured && srtp_protect(leg->outbound, packet, &size) != srtp_err_status_ok)
        return;
#endif
    sendto(leg->fd, packet, (size_t)size, 0, (struct sockaddr *)&leg->to, sizeof leg->to);
}

static void take(int index, uint8_t *packet, int size, const struct sockaddr_in *source)
{
    struct leg *leg = legs + index;
    struct stamp stamp;

    if (source->sin_port != leg->to.sin_port || source->sin_addr.s_addr != leg->to.sin_addr.s_addr)
        foreign++;
#ifdef WITH_SRTP
    if (secured && srtp_unprotect(leg->inbound, packet, &size) != srtp_err_status_ok) {
        strays++;
        return;
    }
#endif
    if (size != HEADER + PAYLOAD || (packet[1] & 0x7f) != leg->type) {
        strays++;
        return;
    }
    read_signs(&stamp, packet + HEADER);
    if (stamp.magic != MAGIC) {
        changed++; /* silence that was filled in, or a frame cut elsewhere */
        return;
    }
    if (leg->type == legs[index ^ 1].type) {
        uint8_t wanted[PAYLOAD];

        spell(wanted, &stamp, leg->type);
        if (memcmp(wanted, packet + HEADER, PAYLOAD) != 0) {
            changed++;
            return;
        }
    }
    if (stamp.leg != (uint16_t)index) {
        strays++;
        return;
    }
    if (stamp.run != run_number)
        return; /* a straggler of the run before */
    uint64_t late = now_ns() - ((uint64_t)stamp.sent_high << 32 | stamp.sent_low);
    uint64_t slot = late / 1000;
    received++;
    if (late > longest_ns)
        longest_ns = late;
    slots[slot < SLOTS ? slot : SLOTS]++;
}

static void receive(int index)
{
    uint8_t packet[2048] __attribute__((aligned(8)));
    struct sockaddr_in source;
    socklen_t length = sizeof source;
    ssize_t size;

    while ((size = recvfrom(legs[index].fd, packet, sizeof packet, 0, (struct sockaddr *)&source,
                            &length)) >= 0 ||
           errno == ECONNREFUSED)
        if (size >= 0)
            take(index, packet, (int)size, &source);
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

static void run(double rate, double seconds, int busy)
{
    uint64_t start, total = (uint64_t)(rate * seconds) * (uint64_t)busy;
    double gap = 1e9 / (rate * busy);

    listen_until(now_ns() + 20000000u); /* what was left from before */
    run_number++;
    received = strays = changed = foreign = longest_ns = 0;
    memset(slots, 0, sizeof slots);
    start = now_ns();
    for (uint64_t i = 0; i < total; i++) {
        uint64_t due = start + (uint64_t)((double)i * gap);
        if (now_ns() < due)
            listen_until(due);
        else if (i % 16 == 0)
            listen_until(0); /* behind: take what is there and go on */
        transmit((int)(i % (uint64_t)busy), (uint32_t)i);
    }
    uint64_t sending = now_ns() - start;
    listen_until(now_ns() + 200000000u);
    uint64_t listened = now_ns() - start;
    printf("{\"sent\": %llu, \"received\": %llu, \"strays\": %llu, \"changed\": %llu, "
           "\"foreign\": %llu, \"seconds\": %.3f, \"listened\": %.3f, \"delay_p50_us\": %.0f, \"delay_p99_us\": %.0f, "
           "\"delay_max_us\": %.0f}\n",
           (unsigned long long)total, (unsigned long long)received, (unsigned long long)strays,
           (unsigned long long)changed, (unsigned long long)foreign, (double)sending / 1e9,
           (double)listened / 1e9,
           delay(0.5), delay(0.99), (double)longest_ns / 1000);
    fflush(stdout);
}

static void aim(char *words)
{
    char *word;
    int i = 0;

    while ((word = strsep(&words, " \n")) && i < leg_count) {
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
}

static void take_keys(char *words)
{
    char *word;
    int i = 0;

    while ((word = strsep(&words, " \n")) && i < 2 * leg_count) {
        if (strlen(word) != 60)
            continue;
#ifdef WITH_SRTP
        if (i % 2)
            legs[i / 2].inbound = session(word, ssrc_any_inbound);
        else
            legs[i / 2].outbound = session(word, ssrc_any_outbound);
        secured = 1;
#endif
        i++;
    }
    printf("{\"keys\": %d}\n", secured ? i : 0);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int calls = argc >= 4 ? atoi(argv[1]) : 0;
    struct rlimit files;
    char *line = NULL;
    size_t room = 0;

    if (calls < 1) {
        fprintf(stderr, "usage: pump CALLS HOST_A HOST_B [TYPE_A TYPE_B]\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int byte = 0; byte < 256; byte++)
        for (int bit = 0; bit < 8; bit++) {
            loud[0][byte][bit] = byte >> bit & 1 ? 0x80 : 0x00;
            loud[1][byte][bit] = byte >> bit & 1 ? 0xaa : 0x2a;
        }
#ifdef WITH_SRTP
    srtp_init();
#endif

    leg_count = calls * 2;
    legs = calloc((size_t)leg_count, sizeof *legs);
    poller = epoll_create1(0);
    printf("{\"ports\": [");
    for (int i = 0; i < leg_count; i++) {
        struct epoll_event want = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        printf("%s%d", i ? ", " : "", open_leg(legs + i, argv[2 + i % 2]));
        legs[i].ssrc = 0x10000u + (uint32_t)i * 7919u;
        legs[i].sequence = (uint16_t)(1000 + i);
        legs[i].type = argc == 6 ? atoi(argv[4 + i % 2]) : 0;
        epoll_ctl(poller, EPOLL_CTL_ADD, legs[i].fd, &want);
    }
    printf("]}\n");
    fflush(stdout);

    while (getline(&line, &room, stdin) > 0) {
        double rate, seconds;
        int some;

        if (strncmp(line, "to ", 3) == 0)
            aim(line + 3);
        else if (strncmp(line, "keys ", 5) == 0)
            take_keys(line + 5);
        else if (sscanf(line, "run %lf %lf %d", &rate, &seconds, &some) == 3 && some <= calls)
            run(rate, seconds, 2 * some);
        else
            break;
    }
    return 0;
}
