// SPDX-License-Identifier: EUPL-1.2
/* What the build makes of this folder's *.html and page.css (proxy/pages/pages.cmake). */
#pragma once

#include <stddef.h>

/* Every template, by the name of its file. */
#define PAGES(P)                                                                                   \
    P(FRAME, frame)                                                                                \
    P(REFUSED, refused)                                                                            \
    P(CHOOSE, choose)                                                                              \
    P(CHOICE, choice)                                                                              \
    P(KEPT, kept)                                                                                  \
    P(RESEND, resend)                                                                              \
    P(ONWARD, onward)                                                                              \
    P(SIGN_OUT, sign_out)                                                                          \
    P(NOTE, note)                                                                                  \
    P(SESSIONS, sessions)                                                                          \
    P(SESSION, session)                                                                            \
    P(WHOAMI, whoami)

#define P(NAME, file)                                                                              \
    extern const unsigned char page_##file##_html[];                                               \
    extern const size_t page_##file##_html_len;
PAGES(P)
#undef P

extern const unsigned char page_css[];
extern const size_t page_css_len;
extern const char page_css_sha256[]; /* base64, for style-src */
extern const char page_css_path[];   /* under its digest: what is there never changes */
