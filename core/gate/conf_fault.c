/* SPDX-License-Identifier: Apache-2.0 */

/* Prints faults as a good compiler does:
 *
 *   demilune.yaml:14:9: routes[2].plugins[0].config.limt: unknown key, did you mean "limit"?
 *      14 |         limt: 100
 *         |         ^~~~
 *
 * A line in which a secret stands is not shown. Which lines those are is known by the keys once a
 * file is parsed; before that, and for what no table knows, a line is judged by the words in it. */

#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "gate/conf.h"

#define MAX_PRINTED 100
#define WINDOW 120 /* bytes of a long line that are shown */

struct style {
    const char *bold, *warning, *error, *caret, *off;
};

static const struct style plain = {"", "", "", "", ""};
static const struct style coloured = {"\033[1m", "\033[35m", "\033[31m", "\033[32m", "\033[0m"};

/* Faults without a place first, then by file, line and column; of one place in the order found. */
static int compare(const void *a, const void *b)
{
    const struct fault *x = *(const struct fault *const *)a, *y = *(const struct fault *const *)b;
    uint32_t fx = x->file ? x->file->index + 1 : 0, fy = y->file ? y->file->index + 1 : 0;

    if (fx != fy)
        return fx < fy ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x < y ? -1 : 1;
}

static struct slice line_of(const struct conf_file *file, uint32_t line)
{
    struct slice rest = file->text, text;

    while (slice_split(&rest, '\n', &text))
        if (--line == 0)
            return text.len && text.ptr[text.len - 1] == '\r' ? slice_sub(text, 0, text.len - 1)
                                                              : text;
    return SLICE_NONE;
}

static bool is_name_byte(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
}

static bool has_word(struct slice line, struct slice word, bool whole)
{
    for (size_t i = 0; i + word.len <= line.len; i++) {
        if (!slice_eq_nocase(slice_sub(line, i, word.len), word))
            continue;
        size_t end = i + word.len;
        if (!whole || ((i == 0 || !is_name_byte(line.ptr[i - 1])) &&
                       (end == line.len || !is_name_byte(line.ptr[end]))))
            return true;
    }
    return false;
}

static bool may_hold_secret(const struct conf_file *file, struct slice line)
{
    static const char *const words[] = {"token", "secret", "passw", "credential", "private", "${"};

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (has_word(line, slice_from(words[i]), false))
            return true;
    ssize_t at = slice_find(line, SLICE("://"));
    if (at >= 0 && slice_find_char(slice_from_index(line, (size_t)at), '@') >= 0)
        return true;
    return !file->is_whole && has_word(line, SLICE("key"), true);
}

static bool is_hidden(const struct fault *f, struct slice line)
{
    const struct conf_file *file = f->file;

    return f->hides_snippet || may_hold_secret(file, line) ||
           (f->line <= file->nlines && file->hidden[f->line / 8] >> f->line % 8 & 1);
}

/* Byte offset of a column, which counts characters. */
static size_t offset_of(struct slice line, uint32_t column)
{
    size_t i = 0;

    while (--column > 0 && i < line.len) {
        i++;
        while (i < line.len && ((uint8_t)line.ptr[i] & 0xc0) == 0x80)
            i++;
    }
    return i;
}

/* Characters of what stands at the place: a quoted text, else up to a blank or punctuation. */
static size_t width_at(struct slice line, size_t at)
{
    char quote = at < line.len && strchr("\"'", line.ptr[at]) ? line.ptr[at] : '\0';
    size_t n = 0;

    for (size_t i = at; i < line.len; i++) {
        char c = line.ptr[i];
        if (i > at && (quote ? c == quote : c == ' ' || strchr(":,]}\t", c) != NULL))
            return n + (quote != '\0');
        n += ((uint8_t)c & 0xc0) != 0x80;
    }
    return n;
}

/* is_text: the line is UTF-8. */
static char shown_byte(char c, bool is_text)
{
    if ((uint8_t)c < ' ' || c == 0x7f)
        return ' ';
    return (uint8_t)c >= 0x80 && !is_text ? '?' : c;
}

/* The beginning of the character that i is in. */
static size_t character_at(struct slice line, size_t i)
{
    for (int n = 0; n < 3 && i > 0 && i < line.len && ((uint8_t)line.ptr[i] & 0xc0) == 0x80; n++)
        i--;
    return i;
}

static int print_snippet(const struct fault *f, struct buf *out, const struct style *style)
{
    struct slice line = line_of(f->file, f->line);
    char caret[WINDOW + 1];

    if (!line.ptr || is_hidden(f, line))
        return 0;
    size_t at = offset_of(line, f->column);
    bool is_text = text_is_utf8(line);
    size_t from = at > WINDOW / 2 && line.len > WINDOW ? character_at(line, at - WINDOW / 2) : 0;
    size_t end = character_at(line, MIN(line.len, from + WINDOW));

    int rc = buf_printf(out, "%6u | %s", f->line, from ? "..." : "");
    for (size_t i = from; rc == 0 && i < end; i++) {
        char c = shown_byte(line.ptr[i], is_text);
        rc = buf_add(out, slice_of(&c, 1));
    }
    int pad = from ? 3 : 0;
    for (size_t i = from; i < at && i < end; i++)
        pad += ((uint8_t)line.ptr[i] & 0xc0) != 0x80;
    size_t width = MIN(MAX(width_at(slice_sub(line, 0, end), at), (size_t)1), (size_t)WINDOW);
    memset(caret, '~', width);
    caret[0] = '^';
    if (rc == 0)
        rc = buf_printf(out, "%s\n       | %*s%s%.*s%s\n", end < line.len ? "..." : "", pad, "",
                        style->caret, (int)width, caret, style->off);
    return rc;
}

static int print_one(const struct fault *f, struct buf *out, const struct style *style)
{
    int rc = 0;

    if (f->file)
        rc = buf_printf(out, "%s%.*s:%u:%u:%s ", style->bold, SLICE_ARG(f->file->name), f->line,
                        f->column, style->off);
    if (rc == 0 && f->is_warning)
        rc = buf_printf(out, "%swarning:%s ", style->warning, style->off);
    if (rc == 0 && f->path.len)
        rc = buf_printf(out, "%.*s: ", SLICE_ARG(f->path));
    if (rc == 0)
        rc = buf_printf(out, "%s%.*s%s\n", f->is_warning ? "" : style->error, SLICE_ARG(f->message),
                        f->is_warning ? "" : style->off);
    if (rc == 0 && f->file)
        rc = print_snippet(f, out, style);
    return rc;
}

/* Pointers to them in order; freed by the caller. */
static const struct fault **sorted_faults(const struct faults *f)
{
    const struct fault **sorted = calloc(f->list.n + 1, sizeof(*sorted));

    REQUIRE(sorted != NULL);
    for (size_t i = 0; i < f->list.n; i++)
        sorted[i] = &f->list.items[i];
    qsort(sorted, f->list.n, sizeof(*sorted), compare);
    return sorted;
}

size_t faults_sorted(const struct faults *f, const struct fault **out, size_t max)
{
    const struct fault **sorted = sorted_faults(f);
    size_t n = MIN(f->list.n, max);

    memcpy(out, sorted, n * sizeof(*out));
    free(sorted);
    return n;
}

void faults_print(const struct faults *f, struct buf *out, bool colour)
{
    const struct style *style = colour ? &coloured : &plain;
    const struct fault **sorted = sorted_faults(f);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < MIN(f->list.n, (size_t)MAX_PRINTED); i++)
        rc = print_one(sorted[i], out, style);
    if (rc == 0 && f->list.n > MAX_PRINTED)
        rc = buf_printf(out, "and %zu more\n", f->list.n - MAX_PRINTED);
    (void)rc; /* what the caller's cap cuts off is cut off */
    free(sorted);
}
