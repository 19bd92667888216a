/* SPDX-License-Identifier: Apache-2.0 */

/* Patterns are normalised as request paths are, or they could never be met: unreserved escapes
 * decoded, what a path can't hold as it stands (a blank, an umlaut) escaped. */

#include "gate/path_pattern.h"

#include "base/err.h"
#include "base/regex.h"
#include "base/text.h"
#include "gate/router.h"
#include "http/uri.h"

#define MAX_PATTERN 2048
#define MAX_GROUP_NAME 64

static bool is_name_byte(char c, bool first)
{
    char small = c | 0x20;

    return (small >= 'a' && small <= 'z') || c == '_' ||
           (!first && ((c >= '0' && c <= '9') || c == '-'));
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_name_byte(s.ptr[i], i == 0))
            return false;
    return s.len > 0;
}

static struct segment segment_of(struct slice text)
{
    struct segment s = {.kind = SEGMENT_TEXT, .text = text};

    if (slice_eq(text, SLICE("*"))) {
        s.kind = SEGMENT_BELOW;
    } else if (text.len && text.ptr[0] == '{') {
        s.kind = SEGMENT_PARAM;
        s.text = slice_sub(text, 1, text.len - 1 - slice_ends(text, SLICE("}")));
        if (slice_ends(s.text, SLICE("..."))) {
            s.kind = SEGMENT_REST;
            s.text.len -= 3;
        }
    }
    return s;
}

bool path_pattern_next(struct slice *rest, struct segment *out)
{
    struct slice text;

    if (!rest->len)
        return false;
    *rest = slice_from_index(*rest, 1); /* the slash */
    size_t end = 0;
    while (end < rest->len && rest->ptr[end] != '/')
        end++;
    text = slice_sub(*rest, 0, end);
    *rest = slice_from_index(*rest, end);
    *out = segment_of(text);
    return true;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static bool add_param(struct route_path *p, struct slice name, struct slice *error, struct arena *a)
{
    for (uint32_t i = 0; i < p->nparams; i++) {
        if (slice_eq(p->params[i], name)) {
            *error = arena_printf(a, "the parameter \"%.*s\" stands in it twice", SLICE_ARG(name));
            return false;
        }
    }
    if (p->nparams == ROUTE_PARAMS_MAX) {
        *error = arena_printf(a, "more than %d parameters", ROUTE_PARAMS_MAX);
        return false;
    }
    if (!p->params)
        p->params = arena_alloc(a, ROUTE_PARAMS_MAX * sizeof(p->params[0]));
    p->params[p->nparams++] = name;
    return true;
}

static const char *wrong_text(struct slice raw)
{
    if (memchr(raw.ptr, '{', raw.len) || memchr(raw.ptr, '}', raw.len))
        return "a parameter is a whole segment: /{name}/";
    if (memchr(raw.ptr, '*', raw.len))
        return "a star is the whole last segment: /x/*";
    if (memchr(raw.ptr, '?', raw.len) || memchr(raw.ptr, '#', raw.len))
        return "a path has no query and no fragment";
    return NULL;
}

static bool check_segment(struct route_path *p, struct segment s, struct slice raw, bool is_last,
                          struct slice *error, struct arena *a)
{
    bool has_name = s.kind == SEGMENT_PARAM || s.kind == SEGMENT_REST;

    if (s.kind == SEGMENT_TEXT && raw.len)
        *error = slice_from(wrong_text(raw));
    else if (s.kind == SEGMENT_BELOW && !is_last)
        *error = SLICE("a star is the whole last segment: /x/*");
    else if (has_name && (!slice_ends(raw, SLICE("}")) || memchr(s.text.ptr, '{', s.text.len) ||
                          memchr(s.text.ptr, '}', s.text.len)))
        *error = SLICE("a parameter is a whole segment: /{name}/");
    else if (has_name && !is_name(s.text))
        *error =
            arena_printf(a, "\"%.*s\" can't be the name of a parameter (letters, digits, _ and -)",
                         SLICE_ARG(s.text));
    else if (s.kind == SEGMENT_REST && !is_last)
        *error = SLICE("{name...} is the last segment");
    else if (has_name)
        return add_param(p, s.text, error, a);
    return !error->ptr;
}

static size_t count_slashes(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '/';
    return n;
}

/* What a request can hold only as an escape. */
static struct slice escaped(struct slice text, struct arena *a)
{
    char *out = arena_alloc(a, 3 * text.len + 1);
    size_t n = text_percent_encode(text, "/%?#{}!$&'()*+,;=:@[]", out);

    return n == text.len ? text : slice_of(out, n);
}

static bool parse_pattern(struct route_path *p, struct arena *a, struct slice *error)
{
    struct slice rest, text = escaped(p->text, a);
    struct segment s;

    int rc = uri_normalise_path(text, a, &p->pattern);
    if (rc < 0 || count_slashes(text) != count_slashes(p->pattern)) {
        *error = rc == ERR_ENCODING ? SLICE("no path of a request: a wrong escape, or .. above /")
                                    : SLICE("a path of a request has no . or .. segments");
        return false;
    }
    if (count_slashes(text) > PATTERN_SEGMENTS_MAX) {
        *error = arena_printf(a, "more than %d segments", PATTERN_SEGMENTS_MAX);
        return false;
    }
    rest = p->pattern;
    while (rest.len) {
        struct slice before = slice_from_index(rest, 1);
        path_pattern_next(&rest, &s);
        if (!check_segment(p, s, slice_sub(before, 0, before.len - rest.len), rest.len == 0, error,
                           a))
            return false;
    }
    return true;
}

/* --- regular expressions ---------------------------------------------------------------------- */

static void free_regex(void *re)
{
    regex_free(re);
}

/* The name that opens a group at the front of s: (?<name> (?P<name> (?'name' . */
static struct slice group_name(struct slice s)
{
    size_t at = slice_starts(s, SLICE("(?P<"))                                   ? 4
                : slice_starts(s, SLICE("(?<")) || slice_starts(s, SLICE("(?'")) ? 3
                                                                                 : 0;
    size_t end = at;

    while (at && end < s.len && is_name_byte(s.ptr[end], end == at) && s.ptr[end] != '-')
        end++;
    bool is_closed = end > at && end < s.len && (s.ptr[end] == '>' || s.ptr[end] == '\'');
    return is_closed ? slice_sub(s, at, end - at) : SLICE_NONE;
}

/* PCRE2's own list of names is not to be had through base/regex.h; whether a name that the text
 * seems to have is one, it says. */
static bool find_groups(struct route_path *p, struct arena *a, struct slice *error)
{
    char name[MAX_GROUP_NAME];

    for (size_t i = 0; i < p->pattern.len; i++) {
        if (p->pattern.ptr[i] == '\\') {
            i++;
            continue;
        }
        struct slice found = group_name(slice_from_index(p->pattern, i));
        if (!found.ptr || found.len >= sizeof(name))
            continue;
        memcpy(name, found.ptr, found.len);
        name[found.len] = '\0';
        if (regex_group(p->regex, name) > 0 && !add_param(p, found, error, a))
            return false;
    }
    return true;
}

static bool parse_regex(struct route_path *p, struct arena *a, struct slice *error)
{
    char message[128] = "";
    size_t offset = 0;

    p->kind = PATH_REGEX;
    p->pattern = slice_trim(slice_from_index(p->text, 1));
    if (p->pattern.len == 0) {
        *error = SLICE("an empty regular expression");
        return false;
    }
    struct regex *re = regex_new(p->pattern, 0, message, sizeof(message), &offset);
    if (!re) {
        *error = arena_printf(a, "no regular expression: %s, at character %zu", message, offset);
        return false;
    }
    arena_on_free(a, free_regex, re);
    p->regex = re;
    return find_groups(p, a, error);
}

bool path_pattern_parse(struct slice text, struct arena *a, struct route_path *out,
                        struct slice *error)
{
    *out = (struct route_path){.text = text, .kind = PATH_PATTERN};
    *error = SLICE_NONE;
    if (text.len > MAX_PATTERN) {
        *error = SLICE("longer than 2048 bytes");
        return false;
    }
    if (text.len && text.ptr[0] == '~')
        return parse_regex(out, a, error);
    if (!text.len || text.ptr[0] != '/') {
        *error = SLICE("a path begins with a slash, a regular expression with \"~ \"");
        return false;
    }
    return parse_pattern(out, a, error);
}

/* --- matching one ----------------------------------------------------------------------------- */

bool path_pattern_fits(const struct route_path *p, struct slice path)
{
    struct slice pattern = p->pattern, rest = path;
    struct segment s;

    if (p->kind == PATH_REGEX)
        return path.len && path.ptr[0] == '/' && regex_match(p->regex, path, 0, NULL, 0) > 0;
    if (!path.len || path.ptr[0] != '/')
        return false;
    while (path_pattern_next(&pattern, &s)) {
        if (s.kind == SEGMENT_BELOW)
            return true;
        if (!rest.len)
            return false;
        if (s.kind == SEGMENT_REST)
            return true;
        rest = slice_from_index(rest, 1);
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != '/')
            end++;
        if (s.kind == SEGMENT_TEXT ? !slice_eq(s.text, slice_sub(rest, 0, end)) : end == 0)
            return false;
        rest = slice_from_index(rest, end);
    }
    return rest.len == 0;
}

bool path_pattern_begins(const struct route_path *p, struct slice prefix)
{
    struct slice pattern = p->pattern, wanted = prefix;
    struct segment s, w;

    if (p->kind == PATH_REGEX)
        return false;
    while (path_pattern_next(&wanted, &w))
        if (!path_pattern_next(&pattern, &s) || s.kind != SEGMENT_TEXT || !slice_eq(s.text, w.text))
            return false;
    return true;
}
