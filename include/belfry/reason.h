// SPDX-License-Identifier: EUPL-1.2
/* Why an exchange went as it went. The zero is a refusal (500). Names and statuses: base/reason.h.
 */
#pragma once

enum reason {
#define REASON(NAME, name, status, title, outcome) REASON_##NAME,
#include "belfry/reason.def"
#undef REASON
    REASON_COUNT
};
