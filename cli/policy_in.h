// SPDX-License-Identifier: EUPL-1.2
/* What the verbs of `belfry policy` share. Each verb is a function in a file of its own,
 * policy_VERB.c; a new one takes a line here, a line in the table in policy.c, its lines in
 * help.def, and those in the manual page. */
#pragma once

#include <stdio.h>

#include "base/findings.h"
#include "belfry/wall.h"
#include "cli/cli.h"
#include "policy/charter.h"

/* The verbs get what stands behind their name. */
int verb_check(int argc, char **argv);
int verb_test(int argc, char **argv);
int verb_sign(int argc, char **argv);
int verb_publish(int argc, char **argv);
int verb_show(int argc, char **argv);
int verb_renew(int argc, char **argv);
int verb_roll_back(int argc, char **argv);
int verb_fmt(int argc, char **argv);
int verb_schema(int argc, char **argv);
int verb_eval(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_diff(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_shadow_report(int argc, char **argv);
int verb_who_can(int argc, char **argv);
int verb_what_can(int argc, char **argv);

int policy_usage(const char *verb); /* NULL: of all; EXIT_USAGE */
int policy_trouble(const struct fault *f);
/* Prints the findings, forgets them, and says how it went. */
int policy_conclude(struct findings *f, FILE *out);
struct wall policy_now(void);
struct slice policy_folder(const char *path); /* where the file lies */
bool policy_is_charter(struct slice text);
/* NULL where it can't be read, with a fault and perhaps findings. `text` is the caller's to free.
 */
struct charter *policy_read_charter(const char *path, struct slice *text, struct findings *findings,
                                    struct fault *f);
