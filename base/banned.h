// SPDX-License-Identifier: EUPL-1.2
/* Included in front of every file by the build: calls that our style keeps out do not compile. The
 * system headers that declare them come first, since a poisoned name can't even be declared. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r gets
#pragma GCC poison atoi atol atoll atof gmtime localtime ctime asctime mktemp tmpnam
