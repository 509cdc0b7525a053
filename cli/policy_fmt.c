// SPDX-License-Identifier: EUPL-1.2
/* `belfry policy fmt`: documents as files, set alike. */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/policy_in.h"
#include "policy/fmt.h"

#define FILE_MODE 0644

static int fmt_file(const char *path, bool only_looks)
{
    struct slice text, made;
    struct fault fault;
    struct findings f;
    if (!file_read(&text, path, YAML_MAX_BYTES, &fault))
        return policy_trouble(&fault);
    findings_init(&f);
    const bool is_made = policy_fmt(text, path, &made, &f);
    int code = policy_conclude(&f, stdout);
    const bool would_change = is_made && !slice_eq(text, made);
    if (would_change) {
        (void)printf("%s\n", path);
        if (only_looks)
            code = EXIT_REFUSED;
        else if (!file_write(path, made, FILE_MODE, &fault))
            code = policy_trouble(&fault);
    }
    if (is_made)
        mem_slice_free(&made);
    mem_slice_free(&text);
    return code;
}

int verb_fmt(int argc, char **argv)
{
    int count = 0, worst = EXIT_OK;
    bool only_looks = false;
    for (int i = 0; i < argc; i++) { /* files move to the front */
        if (strcmp(argv[i], "--check") == 0)
            only_looks = true;
        else if (argv[i][0] == '-')
            return policy_usage("fmt");
        else
            argv[count++] = argv[i];
    }
    if (!count)
        return policy_usage("fmt");
    for (int i = 0; i < count; i++) {
        const int code = fmt_file(argv[i], only_looks);
        worst = code > worst ? code : worst;
    }
    return worst;
}
