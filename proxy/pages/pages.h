// SPDX-License-Identifier: EUPL-1.2
/* What the build makes of page.html and page.css (proxy/pages/pages.cmake). */
#pragma once

#include <stddef.h>

extern const unsigned char page_html[];
extern const size_t page_html_len;
extern const unsigned char page_css[];
extern const size_t page_css_len;
extern const char page_css_sha256[]; /* base64, for style-src */
