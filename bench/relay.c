/* The limit the exchange is held against: a plain C relay of RTP between two legs of a call.
 *
 * One thread, epoll, one recv and one send a packet, two UDP sockets a leg (RTP and RTCP), the
 * peer's address learnt from its first packet. No recvmmsg and no batching of any kind: this is
 * what a straightforward program costs, not what the kernel could be made to do.
 *
 *   relay CALLS [connect [KEY]]
 *
 *   connect   connect() each socket once its peer is known
 *   KEY       SRTP on every leg, undone and done again for each packet: master key and salt in
 *             hex, the same for all, AES_CM_128_HMAC_SHA1_80 (compiled WITH_SRTP)
 *
 * Prints {"ports": [a0, b0, a1, b1, ...]} (RTP ports; RTCP is one above), serves until killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_SRTP
#include "srtp.h"
#endif

struct end {
    int fd;
    int known;
    struct sockaddr_in peer; /* where this end's packets come from and go to */
    struct end *other;
#ifdef WITH_SRTP
    srtp_t inbound, outbound;
#endif
};

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
    policy.window_size = 128;
    if (srtp_create(&made, &policy) != srtp_err_status_ok)
        exit(3);
    return made;
}
#endif

static int bound(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t length = sizeof at;

    getsockname(fd, (struct sockaddr *)&at, &length);
    return ntohs(at.sin_port);
}

/* An even port and the odd one above it. */
static uint16_t open_leg(struct end *rtp, struct end *rtcp)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        int fd = bound(0);
        if (fd < 0)
            break;
        uint16_t port = port_of(fd);
        int above = port % 2 ? -1 : bound(port + 1);
        if (above >= 0) {
            rtp->fd = fd;
            rtcp->fd = above;
            return port;
        }
        close(fd);
    }
    perror("relay: no free port pair");
    exit(1);
}

int main(int argc, char **argv)
{
    int calls = argc > 1 ? atoi(argv[1]) : 0;
    int connected = argc > 2 && strcmp(argv[2], "connect") == 0;
    const char *key = argc > 3 ? argv[3] : NULL;
    int poller = epoll_create1(0);
    struct rlimit files;
    struct end *ends;

    if (calls < 1) {
        fprintf(stderr, "usage: relay CALLS [connect [KEY]]\n");
        return 2;
    }
#ifdef WITH_SRTP
    srtp_init();
#else
    if (key) {
        fprintf(stderr, "relay: compiled without SRTP\n");
        return 2;
    }
#endif
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    ends = calloc((size_t)calls * 4, sizeof *ends);
    printf("{\"ports\": [");
    for (int i = 0; i < calls; i++) {
        struct end *call = ends + i * 4; /* A's RTP, A's RTCP, B's RTP, B's RTCP */
        uint16_t a = open_leg(call, call + 1);
        uint16_t b = open_leg(call + 2, call + 3);
        for (int k = 0; k < 4; k++) {
            struct epoll_event want = {.events = EPOLLIN, .data.ptr = call + k};
            call[k].other = call + (k + 2) % 4;
#ifdef WITH_SRTP
            if (key && k % 2 == 0) {
                call[k].inbound = session(key, ssrc_any_inbound);
                call[k].outbound = session(key, ssrc_any_outbound);
            }
#endif
            epoll_ctl(poller, EPOLL_CTL_ADD, call[k].fd, &want);
        }
        printf("%s%d, %d", i ? ", " : "", a, b);
    }
    printf("]}\n");
    fflush(stdout);

    for (;;) {
        struct epoll_event ready[64];
        char packet[2048 + 64] __attribute__((aligned(8)));
        int count = epoll_wait(poller, ready, 64, -1);

        for (int i = 0; i < count; i++) {
            struct end *from = ready[i].data.ptr, *to = from->other;
            struct sockaddr_in source;
            socklen_t length = sizeof source;
            ssize_t size;

            if (connected && from->known) {
                size = recv(from->fd, packet, 2048, 0);
            } else {
                size = recvfrom(from->fd, packet, 2048, 0, (struct sockaddr *)&source,
                                &length);
                if (size >= 0 && !from->known) {
                    from->known = 1;
                    from->peer = source;
                    if (connected)
                        connect(from->fd, (struct sockaddr *)&source, sizeof source);
                } else if (size >= 0 && (source.sin_port != from->peer.sin_port ||
                                         source.sin_addr.s_addr != from->peer.sin_addr.s_addr)) {
                    continue; /* not from whom we latched on to */
                }
            }
            if (size < 12 || !to->known)
                continue;
#ifdef WITH_SRTP
            if (from->inbound) {
                int length_now = (int)size;
                if (srtp_unprotect(from->inbound, packet, &length_now) != srtp_err_status_ok ||
                    srtp_protect(to->outbound, packet, &length_now) != srtp_err_status_ok)
                    continue;
                size = length_now;
            }
#endif
            if (connected)
                send(to->fd, packet, (size_t)size, 0);
            else
                sendto(to->fd, packet, (size_t)size, 0, (struct sockaddr *)&to->peer,
                       sizeof to->peer);
        }
    }
}
