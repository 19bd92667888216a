/* SPDX-License-Identifier: Apache-2.0 */

/* PCRE2. A pattern is compiled, by the JIT too, when the configuration is read; threads then share
 * it and keep what a match needs of its own (groups, stack) for their whole life, so a match
 * allocates nothing. The limit on backtracking bounds what a pattern and a client's text can cost
 * together. */

#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/regex.h"

#include <pcre2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"

#define MAX_GROUPS 63
#define MATCH_LIMIT 10000
#define HEAP_LIMIT_KIB 1024
#define STACK_START (32 * KIB)
#define STACK_MAX (1 * MIB)

struct regex {
    /* owned */
    pcre2_code *code;
    /* state */
    bool has_jit;
    int ngroups;
};

/* A thread's own part, made at its first match and freed when the thread ends. */
struct matcher {
    pcre2_match_data *groups;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Thread_local struct matcher *own __attribute__((tls_model("initial-exec")));

static void free_matcher(void *arg)
{
    struct matcher *m = arg;

    pcre2_match_data_free(m->groups);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    free(m);
}

static void make_key(void)
{
    REQUIRE(pthread_key_create(&key, free_matcher) == 0);
}

static struct matcher *new_matcher(void)
{
    struct matcher *m = malloc(sizeof(*m));

    pthread_once(&key_once, make_key);
    REQUIRE(m != NULL);
    m->groups = pcre2_match_data_create(MAX_GROUPS + 1, NULL);
    m->context = pcre2_match_context_create(NULL);
    m->stack = pcre2_jit_stack_create(STACK_START, STACK_MAX, NULL);
    REQUIRE(m->groups && m->context && m->stack);
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    pthread_setspecific(key, m);
    return m;
}

static pcre2_code *compile(struct slice pattern, unsigned flags, char *message, size_t size,
                           size_t *offset)
{
    uint32_t options = PCRE2_NEVER_BACKSLASH_C;
    int rc;

    if (flags & REGEX_CASELESS)
        options |= PCRE2_CASELESS;
    /* A client's text may be no UTF-8: then it does not match there, instead of being an error. */
    if (flags & REGEX_UTF)
        options |= PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern.ptr ? pattern.ptr : ""), pattern.len,
                                     options, &rc, offset, NULL);
    if (!code)
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)message, size);
    return code;
}

struct regex *regex_new(struct slice pattern, unsigned flags, char *message, size_t size,
                        size_t *offset)
{
    pcre2_code *code = compile(pattern, flags, message, size, offset);
    uint32_t ngroups;

    if (!code)
        return NULL;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &ngroups);
    if (ngroups > MAX_GROUPS) {
        snprintf(message, size, "more than %d groups", MAX_GROUPS);
        *offset = 0;
        pcre2_code_free(code);
        return NULL;
    }
    struct regex *re = malloc(sizeof(*re));
    REQUIRE(re != NULL);
    re->code = code;
    re->ngroups = (int)ngroups;
    /* Where the system forbids making code at run time, or the pattern asks for it, the interpreter
     * does it. */
    size_t jit_size = 0;
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &jit_size);
    re->has_jit = jit_size > 0;
    return re;
}

void regex_free(struct regex *re)
{
    if (!re)
        return;
    pcre2_code_free(re->code);
    free(re);
}

static void fill_groups(const struct matcher *m, struct slice subject, int nset,
                        struct slice *groups, int ngroups)
{
    const size_t *at = pcre2_get_ovector_pointer(m->groups);

    for (int i = 0; i < ngroups; i++) {
        bool is_set = i < nset && at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1];
        groups[i] =
            is_set ? slice_of(subject.ptr + at[2 * i], at[2 * i + 1] - at[2 * i]) : SLICE_NONE;
    }
}

int regex_match(const struct regex *re, struct slice subject, size_t from, struct slice *groups,
                int ngroups)
{
    if (UNLIKELY(!own))
        own = new_matcher();
    if (!subject.ptr)
        subject = SLICE("");
    if (from > subject.len)
        return 0;

    /* The fast path of the JIT differs in its checks of the arguments only. */
    PCRE2_SPTR text = (PCRE2_SPTR)subject.ptr;
    int rc = re->has_jit
                 ? pcre2_jit_match(re->code, text, subject.len, from, 0, own->groups, own->context)
                 : pcre2_match(re->code, text, subject.len, from, 0, own->groups, own->context);
    if (rc > 0) {
        if (groups)
            fill_groups(own, subject, rc, groups, ngroups);
        return rc;
    }
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    bool is_limit = rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_JIT_STACKLIMIT ||
                    rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT;
    return is_limit ? ERR_LIMIT : ERR_ARG;
}

int regex_group(const struct regex *re, const char *name)
{
    int n = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR)name);

    return n > 0 ? n : ERR_NOT_FOUND;
}

int regex_group_count(const struct regex *re)
{
    return re->ngroups;
}
