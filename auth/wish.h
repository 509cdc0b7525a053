// SPDX-License-Identifier: EUPL-1.2
/* Who waits for an answer that a desk fetches once for all of them. Wishes lie in a list of the
 * desk's; nobody takes one back. The control thread's. */
#pragma once

#include "base/list.h"

void wish_add(struct link *wishes, void (*answered)(void *owner), void *owner);
/* Each `answered` runs once. Who wishes again from there is for the next time. */
void wishes_answer(struct link *wishes);
void wishes_drop(struct link *wishes); /* nobody is told */
