// SPDX-License-Identifier: EUPL-1.2
/* Allocation that never fails to its caller. Every size is computed with an overflow check here, so
 * that callers multiply nothing. Owns nothing. */
#include "base/mem.h"

#include <unistd.h>

static _Noreturn void no_memory(void)
{
    static const char text[] = "belfry: out of memory\n";
    // No stdio: it may want memory of its own. The abort says it all if this write fails.
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    abort();
}

void *mem_zero(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size ? size : 1); // calloc checks the product
    if (!ptr)
        no_memory();
    return ptr;
}

void *mem_grow(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        no_memory();
    void *ptr = realloc(old, bytes ? bytes : 1);
    if (!ptr)
        no_memory();
    return ptr;
}

char *mem_text(struct slice text)
{
    size_t room;
    if (__builtin_add_overflow(text.len, 1u, &room))
        no_memory();
    char *copy = malloc(room);
    if (!copy)
        no_memory();
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return copy;
}

struct slice mem_slice(struct slice text)
{
    return (struct slice){mem_text(text), text.len};
}

void mem_slice_free(struct slice *text)
{
    free((void *)(uintptr_t)text->ptr); // ours: mem_slice made it, const is for the readers
    *text = (struct slice){NULL, 0};
}

void mem_free(void *ptr)
{
    free(ptr);
}
