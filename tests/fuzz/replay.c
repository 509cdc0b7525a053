// SPDX-License-Identifier: EUPL-1.2
/* Runs a fuzzer's function over every file of a corpus folder: how the corpora are ordinary tests
 * with compilers that have no libFuzzer. Exit 1 where the folder is missing or empty. */
#include <dirent.h>
#include <limits.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    size_t files = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 1;
    }
    base_init();
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[PATH_MAX];
        struct slice text;
        struct fault fault;
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (!file_read(&text, path, 1u << 24, &fault)) {
            fprintf(stderr, "%s\n", fault.text);
            closedir(dir);
            return 1;
        }
        (void)LLVMFuzzerTestOneInput((const uint8_t *)text.ptr, text.len);
        mem_slice_free(&text);
        files++;
    }
    closedir(dir);
    printf("%zu passed, 0 failed\n", files);
    return files ? 0 : 1;
}
