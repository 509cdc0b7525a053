// SPDX-License-Identifier: EUPL-1.2
/* For every fuzzer that reads YAML. libfyaml 0.7.12 loses a buffer on some malformed plain scalars:
 * nothing that we could give back, and only documents that are refused. */
#pragma once

const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}
