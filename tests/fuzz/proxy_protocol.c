// SPDX-License-Identifier: EUPL-1.2
/* PROXY headers from anywhere: read as they come in, by as many bytes as are asked for, they say
 * the same as at once, and never is a byte asked for that is not theirs. What is read is printed
 * without its fields and read the same again. */
#include "proxy/proxy_protocol.h"

#include <assert.h>
#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same(const struct proxy_announced *a, const struct proxy_announced *b)
{
    return a->is_local == b->is_local && a->port == b->port &&
           memcmp(&a->client, &b->client, sizeof a->client) == 0;
}

static void print_again(const struct proxy_announced *a)
{
    char text[PROXY_HEADER_MIN_BYTES + 36] = "\r\n\r\n\0\r\nQUIT\n\x21";
    struct proxy_announced again;
    const char *why;
    size_t wanted;
    size_t len;
    if (a->client.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->client;
        len = 12;
        text[13] = 0x11;
        memcpy(text + 16, &in->sin_addr, 4);
        memcpy(text + 24, &in->sin_port, 2);
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->client;
        len = 36;
        text[13] = 0x21;
        memcpy(text + 16, &in->sin6_addr, 16);
        memcpy(text + 48, &in->sin6_port, 2);
    }
    text[15] = (char)len;
    text[16 + len - 2] = (char)(a->port >> 8);
    text[16 + len - 1] = (char)a->port;
    enum proxy_step step =
        proxy_header_read(&again, slice_from(text, PROXY_HEADER_MIN_BYTES + len), &wanted, &why);
    assert(step == PROXY_DONE && is_same(a, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_announced once = {0};
    struct proxy_announced slowly = {0};
    const char *why = NULL;
    size_t wanted = 0;
    size_t len = 0;
    enum proxy_step step;
    while ((step = proxy_header_read(&slowly, slice_from(data, len), &wanted, &why)) ==
           PROXY_MORE) {
        assert(wanted > len && wanted <= PROXY_HEADER_MAX_BYTES);
        if (wanted > size)
            return 0;
        len = wanted;
    }
    assert(step == PROXY_REFUSED ? why != NULL : len == wanted);
    if (step == PROXY_REFUSED)
        return 0;
    step = proxy_header_read(&once, slice_from(data, len), &wanted, &why);
    assert(step == PROXY_DONE && is_same(&once, &slowly));
    if (len < size)
        assert(proxy_header_read(&once, slice_from(data, len + 1), &wanted, &why) == PROXY_REFUSED);
    if (!slowly.is_local)
        print_again(&slowly);
    return 0;
}
