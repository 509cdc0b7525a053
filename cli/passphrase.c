// SPDX-License-Identifier: EUPL-1.2
/* See the header. The terminal is /dev/tty: standard input may be the key itself. */
#include "cli/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"

#define MAX_BYTES 1024

static bool cut_to_line(struct secret *s, struct fault *f)
{
    size_t len = 0;
    while (len < s->len && s->bytes[len] != '\n' && s->bytes[len] != '\r')
        len++;
    if (!len || len > MAX_BYTES)
        return fault_set(f, FAULT_CONFIG, "a passphrase has from 1 to %d bytes", MAX_BYTES);
    struct secret line;
    secret_init(&line, s->bytes, len);
    secret_fini(s);
    *s = line;
    return true;
}

static bool from_file(struct secret *out, const char *path, struct fault *f)
{
    struct secret text = {NULL, 0};
    if (!file_read_secret(&text, path, MAX_BYTES + 2, f))
        return false;
    if (cut_to_line(&text, f)) {
        *out = text;
        return true;
    }
    secret_fini(&text);
    return fault_within(f, "'%s'", path);
}

static bool say(int tty, const char *text)
{
    return write(tty, text, strlen(text)) == (ssize_t)strlen(text);
}

/* One line; the terminal is in canonical mode, so it comes whole. */
static bool read_line(int tty, const char *prompt, struct secret *out, struct fault *f)
{
    char line[MAX_BYTES + 2];
    ssize_t len = -1;
    if (say(tty, prompt) && say(tty, ": "))
        do
            len = read(tty, line, sizeof(line));
        while (len < 0 && errno == EINTR);
    const bool is_read = len > 0 && say(tty, "\n");
    if (is_read)
        secret_init(out, line, (size_t)len);
    wipe(line, sizeof(line));
    if (!is_read)
        return fault_set(f, FAULT_IO, "no passphrase came from the terminal");
    if (cut_to_line(out, f))
        return true;
    secret_fini(out);
    return false;
}

static bool ask(int tty, struct secret *out, const char *prompt, bool twice, struct fault *f)
{
    struct secret again = {NULL, 0};
    if (!read_line(tty, prompt, out, f))
        return false;
    if (!twice)
        return true;
    const bool is_same = read_line(tty, "The same again", &again, f) &&
                         ((out->len == again.len && secret_eq(out->bytes, again.bytes, out->len)) ||
                          fault_set(f, FAULT_CONFIG, "the two passphrases differ"));
    secret_fini(&again);
    if (!is_same)
        secret_fini(out);
    return is_same;
}

static bool from_terminal(struct secret *out, const char *prompt, bool twice, struct fault *f)
{
    struct termios before;
    const int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return fault_set(f, FAULT_CONFIG,
                         "a passphrase is needed, and there is no terminal: name a file that holds "
                         "it with --passphrase-file");
    bool is_read = tcgetattr(tty, &before) == 0;
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    is_read = is_read && tcsetattr(tty, TCSAFLUSH, &silent) == 0;
    if (!is_read)
        (void)fault_errno(f, errno, "the terminal can't be made silent");
    else
        is_read = ask(tty, out, prompt, twice, f);
    (void)tcsetattr(tty, TCSAFLUSH, &before); // as it was; what fails here failed above
    (void)close(tty);
    return is_read;
}

bool passphrase_get(struct secret *out, const char *path, const char *prompt, bool twice,
                    struct fault *f)
{
    return path ? from_file(out, path, f) : from_terminal(out, prompt, twice, f);
}
