// SPDX-License-Identifier: EUPL-1.2
/* The number of an exchange: 80 bits, written as four groups of four Crockford base-32 digits, so
 * that a person can read it out on the telephone. The same text is in the answer, in
 * `Belfry-Reference` and in the audit line. Not a secret. */
#pragma once

#define REFERENCE_CHARS 19 /* XXXX-XXXX-XXXX-XXXX */

struct reference {
    char text[REFERENCE_CHARS + 1];
};
