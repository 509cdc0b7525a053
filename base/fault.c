// SPDX-License-Identifier: EUPL-1.2
/* Faults in words. A text that is too long loses its end. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>

bool fault_make(struct fault *f, enum fault_code code, const char *at, const char *format, ...)
{
    if (!f)
        return false;
    *f = (struct fault){.code = code, .at = at};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    return false;
}

bool fault_within(struct fault *f, const char *format, ...)
{
    if (!f)
        return false;
    char text[sizeof f->text];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (len < 0)
        return false;
    size_t used = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    if (snprintf(text + used, sizeof text - used, ": %s", f->text) >= 0) // cut, where too long
        memcpy(f->text, text, sizeof text);
    return false;
}

bool fault_errno_make(struct fault *f, int error, const char *at, const char *format, ...)
{
    if (!f)
        return false;
    *f = (struct fault){.code = FAULT_IO, .at = at};
    char words[128];
    const char *why = strerror_r(error, words, sizeof words); // GNU's: the text is what it returns
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
    if (len >= 0 && (size_t)len < sizeof f->text)
        (void)snprintf(f->text + len, sizeof f->text - (size_t)len, ": %s", why);
    return false;
}
