/* SPDX-License-Identifier: Apache-2.0 */

/* What POST /reload answers, and what /config says of the last reload. */

#include "app/admin.h"
#include "app/control.h"
#include "app/reload.h"
#include "base/json.h"
#include "base/text.h"

static void text(struct json_writer *w, const char *key, struct slice value)
{
    json_key(w, slice_from(key));
    json_string_lossy(w, value);
}

static void put_line(struct json_writer *w, const struct reload_line *l)
{
    json_object(w);
    if (l->file.ptr) {
        text(w, "file", l->file);
        json_key(w, SLICE("line"));
        json_int(w, l->line);
        json_key(w, SLICE("column"));
        json_int(w, l->column);
    }
    if (l->path.len)
        text(w, "path", l->path);
    text(w, "message", l->message);
    json_object_end(w);
}

static void put_lines(struct json_writer *w, const char *key, const struct reload_report *r,
                      bool warnings)
{
    json_key(w, slice_from(key));
    json_array(w);
    for (size_t i = 0; i < r->nlines; i++)
        if (r->lines[i].is_warning == warnings)
            put_line(w, &r->lines[i]);
    json_array_end(w);
}

static void put_version(struct json_writer *w, const struct reload_report *r)
{
    text(w, "id", r->id);
    json_key(w, SLICE("version"));
    json_int(w, (int64_t)r->version);
}

/* "demilune.yaml:14:9: routes[2].path: unknown key", and how many more. */
static const char *detail_of(const struct reload_report *r, struct arena *a)
{
    const struct reload_line *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < r->nlines; i++) {
        if (r->lines[i].is_warning)
            continue;
        n++;
        first = first ? first : &r->lines[i];
    }
    if (!first)
        return "The configuration can't be used.";
    struct slice place = first->file.ptr ? arena_printf(a, "%.*s:%u:%u: ", SLICE_ARG(first->file),
                                                        first->line, first->column)
                                         : SLICE("");
    struct slice more = n > 1 ? arena_printf(a, " (and %zu more)", n - 1) : SLICE("");
    return arena_printf(a, "%.*s%.*s%s%.*s%.*s", SLICE_ARG(place), SLICE_ARG(first->path),
                        first->path.len ? ": " : "", SLICE_ARG(first->message), SLICE_ARG(more))
        .ptr;
}

int admin_page_reload(struct admin_answer *answer)
{
    const struct reload_report *r = answer->report;
    struct json_writer w;

    json_writer_init(&w, &answer->body, 2);
    json_object(&w);
    if (!r) {
        admin_put_problem(&w, answer, 503,
                          "The gateway is about to stop and takes no other configuration.");
    } else if (r->is_done) {
        put_version(&w, r);
        put_lines(&w, "warnings", r, true);
    } else {
        admin_put_problem(&w, answer, 422, detail_of(r, answer->arena));
        put_version(&w, r);
        put_lines(&w, "faults", r, false);
        put_lines(&w, "warnings", r, true);
    }
    json_object_end(&w);
    return json_writer_end(&w);
}

void admin_put_last_reload(struct json_writer *w, const struct control *c)
{
    const struct reload_report *r = reload_last(c->reload);
    char at[32];

    json_key(w, SLICE("last_reload"));
    if (!r) {
        json_null(w);
        return;
    }
    json_object(w);
    text(w, "result", r->is_done ? SLICE("success") : SLICE("failure"));
    text_iso_date(r->at_wall_ms, at);
    text(w, "at", slice_from(at));
    put_lines(w, "faults", r, false);
    put_lines(w, "warnings", r, true);
    json_object_end(w);
}
