// SPDX-License-Identifier: EUPL-1.2
/* libcurl's multi interface on our loop. Each fetch has a connection of its own, which no other may
 * use: `may_connect` belongs to one fetch, and a connection that was opened for another entity
 * would go round it. curl's callbacks only note; what happened is told after curl has returned.
 * Owns: the multi handle, its sockets and timer, the fetches under way. */
#include "base/fetch.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/secret.h"

struct fetcher {
    struct loop *loop;
    CURLM *multi;
    ev_timer timer;
    struct link fetches;
    uint32_t depth; // of our callbacks on the stack
    bool is_gone;   // fetcher_free was called from one of them
};

struct socket_watch {
    ev_io io;
    struct fetcher *fetcher;
};

struct fetch {
    struct link link;
    struct fetcher *fetcher;
    struct later stillborn; // tells that curl refused the request
    CURL *easy;
    struct fetch_request request;
    char *url;
    char *sent; // a copy of the request's body
    struct curl_slist *fields;
    struct curl_slist *connect_to;
    struct buf body;
    bool has_enough; // the transfer was ended because only the status was wanted
    bool is_too_large;
    bool is_outside; // an address was refused
    int64_t max_age_s;
    int64_t age_s;
    char error[CURL_ERROR_SIZE];
};

/* ---- one fetch ---- */

static uint32_t max_bytes(const struct fetch_request *request)
{
    return request->max_bytes ? request->max_bytes : FETCH_MAX_BYTES;
}

static void fetch_free(struct fetch *take)
{
    link_remove(&take->link);
    later_cancel(&take->stillborn);
    if (take->easy) {
        (void)curl_multi_remove_handle(take->fetcher->multi, take->easy); // not added: no harm
        curl_easy_cleanup(take->easy);
    }
    for (struct curl_slist *at = take->fields; at; at = at->next)
        wipe(at->data, strlen(at->data));
    curl_slist_free_all(take->fields);
    curl_slist_free_all(take->connect_to);
    wipe(take->body.ptr, take->body.room);
    buf_fini(&take->body);
    wipe(take->sent, take->request.body.len);
    mem_free(take->sent);
    mem_free(take->url);
    mem_free(take);
}

/* Calls out, then frees the fetch; the fetcher may be marked gone afterwards. */
static void finish(struct fetch *take, int status, const struct fault *why)
{
    struct fetcher *fetcher = take->fetcher;
    struct fetch_answer answer = {.status = status, .body = {"", 0}, .max_age_s = take->max_age_s};
    char *type = NULL;
    long sent = 0;
    (void)curl_easy_getinfo(take->easy, CURLINFO_REQUEST_SIZE, &sent);
    answer.was_sent = sent > 0;
    if (status) {
        answer.body = buf_slice(&take->body);
        (void)curl_easy_getinfo(take->easy, CURLINFO_CONTENT_TYPE, &type);
    }
    answer.content_type = type ? slice_of(type) : (struct slice){"", 0};
    if (answer.max_age_s >= 0)
        answer.max_age_s = answer.max_age_s > take->age_s ? answer.max_age_s - take->age_s : 0;
    link_remove(&take->link); // from here on nobody else may free it
    fetcher->depth++;
    take->request.done(take->request.owner, &answer, why);
    fetcher->depth--;
    fetch_free(take);
}

static void on_stillborn(struct later *later)
{
    struct fetch *fetch = container_of(later, struct fetch, stillborn);
    struct fetcher *fetcher = fetch->fetcher;
    struct fault f;
    (void)fault_set(&f, FAULT_CONFIG, "cannot fetch '%s'", fetch->url);
    finish(fetch, 0, &f);
    if (fetcher->is_gone && !fetcher->depth)
        fetcher_free(fetcher);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct fetch *fetch = data;
    if (fetch->request.wants_status_only) {
        fetch->has_enough = true;
        return 0; // curl ends the transfer
    }
    if (buf_add(&fetch->body, slice_from(bytes, size * count)))
        return size * count;
    fetch->is_too_large = true;
    return 0;
}

/* RFC 9111 §5.2.2: how long the answer may be kept; the strictest of several directives. */
static void take_cache_control(struct fetch *fetch, struct slice value)
{
    while (value.len) {
        const struct slice directive = slice_trim(slice_cut(&value, ','));
        uint64_t seconds = 0;
        if (slice_eq_nocase(directive, SLICE("no-store")) ||
            slice_eq_nocase(directive, SLICE("no-cache")))
            fetch->max_age_s = 0;
        if (directive.len < 8 ||
            !slice_eq_nocase(slice_from(directive.ptr, 8), SLICE("max-age=")) ||
            !slice_u64(slice_skip(directive, 8), INT32_MAX, &seconds))
            continue;
        if (fetch->max_age_s < 0 || (int64_t)seconds < fetch->max_age_s)
            fetch->max_age_s = (int64_t)seconds;
    }
}

static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
    struct fetch *fetch = data;
    struct slice line = slice_from(bytes, size * count);
    while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    if (slice_starts(line, SLICE("HTTP/"))) { // the final answer, after an interim one
        fetch->max_age_s = -1;
        fetch->age_s = 0;
        return size * count;
    }
    const struct slice name = slice_cut(&line, ':');
    uint64_t age = 0;
    if (slice_eq_nocase(name, SLICE("cache-control")))
        take_cache_control(fetch, line);
    else if (slice_eq_nocase(name, SLICE("age")) && slice_u64(slice_trim(line), INT32_MAX, &age))
        fetch->age_s = (int64_t)age;
    return size * count;
}

static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch *fetch = data;
    (void)purpose;
    if (!fetch->request.may_connect(fetch->request.owner, &address->addr)) {
        fetch->is_outside = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->protocol);
}

static const struct {
    const char *scheme;
    long version;
} protocols[] = {
    [FETCH_HTTPS] = {"https", CURL_HTTP_VERSION_2TLS},
    [FETCH_HTTPS_H2] = {"https", CURL_HTTP_VERSION_2TLS}, // what was agreed is looked at afterwards
    [FETCH_HTTP_1] = {"http", CURL_HTTP_VERSION_1_1},
    [FETCH_HTTP_2_PRIOR] = {"http", CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE},
};

/* "::WHERE" is for every host and port (CURLOPT_CONNECT_TO). */
static struct curl_slist *list_with(struct curl_slist *list, const char *before, const char *text)
{
    const size_t size = strlen(before) + strlen(text) + 1;
    char *line = mem_array(char, size);
    (void)snprintf(line, size, "%s%s", before, text);
    list = curl_slist_append(list, line);
    if (!list)
        abort(); // no memory, as in base/mem
    wipe(line, size);
    mem_free(line);
    return list;
}

static bool set_up(struct fetch *fetch)
{
    CURL *easy = fetch->easy;
    const struct fetch_request *request = &fetch->request;
    struct curl_blob ca = {.data = (void *)(uintptr_t)request->ca_pem.ptr,
                           .len = request->ca_pem.len,
                           .flags = CURL_BLOB_COPY};
    CURLcode bad = CURLE_OK;
    if (request->host_field)
        fetch->fields = list_with(NULL, "", request->host_field);
    if (request->connect_to)
        fetch->connect_to = list_with(NULL, "::", request->connect_to);
    for (const char *const *field = request->fields; field && *field; field++)
        fetch->fields = list_with(fetch->fields, "", *field);
#define SET(option, value) bad = bad ? bad : curl_easy_setopt(easy, (option), (value))
    SET(CURLOPT_PRIVATE, fetch);
    SET(CURLOPT_ERRORBUFFER, fetch->error);
    SET(CURLOPT_URL, fetch->url);
    SET(CURLOPT_PROTOCOLS_STR, protocols[request->protocol].scheme);
    SET(CURLOPT_HTTP_VERSION, protocols[request->protocol].version);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_USERAGENT, "belfry/" BELFRY_VERSION);
    SET(CURLOPT_TIMEOUT_MS, (long)request->limit_ms);
    SET(CURLOPT_MAXFILESIZE, (long)max_bytes(request));
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, fetch);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, fetch);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, fetch);
    if (request->is_post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE, (long)request->body.len);
        SET(CURLOPT_POSTFIELDS, fetch->sent);
    }
    if (request->ca_file)
        SET(CURLOPT_CAINFO, request->ca_file);
    if (ca.len) {
        SET(CURLOPT_CAINFO_BLOB, &ca);
        SET(CURLOPT_CAPATH, NULL);            // the system's would count too
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); // each time the certificate is judged anew
    }
    if (request->certificate_file) {
        SET(CURLOPT_SSLCERT, request->certificate_file);
        SET(CURLOPT_SSLKEY, request->key_file);
    }
    if (fetch->fields)
        SET(CURLOPT_HTTPHEADER, fetch->fields);
    if (fetch->connect_to)
        SET(CURLOPT_CONNECT_TO, fetch->connect_to);
#undef SET
    return bad == CURLE_OK && curl_multi_add_handle(fetch->fetcher->multi, easy) == CURLM_OK;
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request)
{
    assert(request->done && request->may_connect && request->limit_ms > 0);
    struct fetch *fetch = mem_new(struct fetch);
    fetch->fetcher = fetcher;
    fetch->request = *request;
    fetch->url = mem_text(request->url);
    fetch->request.url = fetch->request.url.len ? slice_of(fetch->url) : (struct slice){NULL, 0};
    fetch->sent = mem_text(request->body);
    fetch->max_age_s = -1;
    fetch->stillborn.run = on_stillborn;
    buf_init(&fetch->body, max_bytes(request));
    list_push(&fetcher->fetches, &fetch->link);
    fetch->easy = curl_easy_init();
    if (fetch->request.url.len != request->url.len || !fetch->easy || !set_up(fetch))
        loop_later(fetcher->loop, &fetch->stillborn);
    return fetch;
}

void fetch_cancel(struct fetch *take)
{
    if (take)
        fetch_free(take);
}

/* ---- curl and the loop ---- */

static void end_one(struct fetch *fetch, CURLcode result)
{
    struct fault f;
    long status = 0;
    long version = 0;
    if (result == CURLE_OK || fetch->has_enough)
        (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_HTTP_VERSION, &version);
    if (status > 0 && fetch->request.protocol == FETCH_HTTPS_H2 &&
        version != CURL_HTTP_VERSION_2_0) {
        (void)fault_set(&f, FAULT_IO, "'%s' does not speak HTTP/2", fetch->url);
        finish(fetch, 0, &f);
        return;
    }
    if (status > 0) {
        finish(fetch, (int)status, NULL);
        return;
    }
    if (fetch->is_too_large || result == CURLE_FILESIZE_EXCEEDED)
        (void)fault_set(&f, FAULT_LIMIT, "the answer of '%s' passes %u bytes", fetch->url,
                        max_bytes(&fetch->request));
    else if (fetch->is_outside)
        (void)fault_set(&f, FAULT_TRUST, "the address of '%s' is in no allowed network",
                        fetch->url);
    else
        (void)fault_set(&f, FAULT_IO, "cannot fetch '%s': %s", fetch->url,
                        fetch->error[0] ? fetch->error : curl_easy_strerror(result));
    finish(fetch, 0, &f);
}

/* Lets curl work on one socket, or on its timer, and tells what has ended. */
static void act(struct fetcher *fetcher, curl_socket_t fd, int mask)
{
    int running = 0;
    int left = 0;
    fetcher->depth++;
    (void)curl_multi_socket_action(fetcher->multi, fd, mask, &running); // failures end the fetch
    while (!fetcher->is_gone) {
        CURLMsg *message = curl_multi_info_read(fetcher->multi, &left);
        if (!message)
            break;
        char *fetch = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
        if (message->msg == CURLMSG_DONE)
            end_one((struct fetch *)(void *)fetch, message->data.result);
    }
    fetcher->depth--;
    if (fetcher->is_gone && !fetcher->depth)
        fetcher_free(fetcher);
}

static void on_socket_event(struct ev_loop *ev, ev_io *io, int events)
{
    struct socket_watch *watch = io->data;
    (void)ev;
    act(watch->fetcher, io->fd,
        (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct ev_loop *ev, ev_timer *timer, int events)
{
    (void)ev;
    (void)events;
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct fetcher *fetcher = data;
    struct socket_watch *watch = socket_data;
    (void)easy;
    if (watch)
        ev_io_stop(fetcher->loop->ev, &watch->io);
    if (what == CURL_POLL_REMOVE) {
        mem_free(watch);
        return 0;
    }
    if (!watch) {
        watch = mem_new(struct socket_watch);
        watch->fetcher = fetcher;
        watch->io.data = watch;
        ev_init(&watch->io, on_socket_event);
        (void)curl_multi_assign(fetcher->multi, fd, watch); // the socket is curl's: can't fail
    }
    ev_io_set(&watch->io, fd,
              (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(fetcher->loop->ev, &watch->io);
    return 0;
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *data)
{
    struct fetcher *fetcher = data;
    (void)multi;
    ev_timer_stop(fetcher->loop->ev, &fetcher->timer);
    if (timeout_ms >= 0) {
        ev_timer_set(&fetcher->timer, (double)timeout_ms / 1000., 0.);
        ev_timer_start(fetcher->loop->ev, &fetcher->timer);
    }
    return 0;
}

struct fetcher *fetcher_new(struct loop *l)
{
    struct fetcher *fetcher = mem_new(struct fetcher);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort(); // no memory, as in base/mem
    fetcher->loop = l;
    fetcher->multi = curl_multi_init();
    if (!fetcher->multi)
        abort();
    list_init(&fetcher->fetches);
    ev_timer_init(&fetcher->timer, on_timer, 0., 0.);
    fetcher->timer.data = fetcher;
    (void)curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    (void)curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    (void)curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    (void)curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    (void)curl_multi_setopt(fetcher->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return fetcher;
}

void fetcher_free(struct fetcher *fetcher)
{
    if (!fetcher)
        return;
    while (!list_is_empty(&fetcher->fetches))
        fetch_free(container_of(fetcher->fetches.next, struct fetch, link));
    if (fetcher->depth) {
        fetcher->is_gone = true; // whoever called out frees it on the way back
        return;
    }
    (void)curl_multi_cleanup(fetcher->multi);
    ev_timer_stop(fetcher->loop->ev, &fetcher->timer);
    curl_global_cleanup();
    mem_free(fetcher);
}
