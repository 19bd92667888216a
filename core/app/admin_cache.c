/* SPDX-License-Identifier: Apache-2.0 */

/* POST /cache/purge: a JSON object says what goes, from all caches: { "key": URL }, { "prefix": text } or { "tag": word }.
 * The answer says how many responses that were. */

#include "app/admin.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "side/response_store.h"

enum what { PURGE_KEY, PURGE_PREFIX, PURGE_TAG, PURGE_COUNT };

static const char *const names[] = {
    [PURGE_KEY] = "key", [PURGE_PREFIX] = "prefix", [PURGE_TAG] = "tag"};

struct wish {
    enum what what;
    struct slice text;
};

static enum what what_of(struct slice name)
{
    int what = 0;

    while (what < PURGE_COUNT && !slice_eq(name, slice_from(names[what])))
        what++;
    return (enum what)what;
}

/* One member with a text. */
static bool read_wish(struct json_reader *r, struct arena *a, struct wish *out)
{
    if (json_read(r) != JSON_OBJECT || json_read(r) != JSON_KEY)
        return false;
    out->what = what_of(r->string);
    if (out->what == PURGE_COUNT || json_read(r) != JSON_STRING)
        return false;
    out->text = arena_dup(a, r->string);
    return json_read(r) == JSON_OBJECT_END && json_read(r) == JSON_END;
}

static size_t purge(struct response_store *s, const struct wish *w)
{
    switch (w->what) {
    case PURGE_KEY: return response_store_purge_key(s, w->text);
    case PURGE_PREFIX: return response_store_purge_prefix(s, w->text);
    default: return response_store_purge_tag(s, w->text);
    }
}

static size_t purge_all(const struct wish *w)
{
    struct response_store *s;
    size_t n = 0;

    for (size_t i = 0; (s = response_store_at(i)); i++) {
        n += purge(s, w);
        response_store_unref(s);
    }
    return n;
}

int admin_page_purge(struct admin_answer *answer)
{
    struct json_reader r;
    struct json_writer w;
    struct wish wish;

    json_reader_init(&r, answer->content, 4);
    bool is_wish = read_wish(&r, answer->arena, &wish);
    json_reader_deinit(&r);
    if (!is_wish) {
        admin_problem(
            answer, 400,
            "The content is to be a JSON object with one of \"key\", \"prefix\" and \"tag\", a text.");
        return 0;
    }
    size_t n = purge_all(&wish);
    LOG_INFO("cache.purged", "responses were purged", LOG_C("by", names[wish.what]),
             LOG_S("text", wish.text), LOG_I("purged", (int64_t)n));
    json_writer_init(&w, &answer->body, 0);
    json_object(&w);
    json_key(&w, SLICE("purged"));
    json_int(&w, (int64_t)n);
    json_object_end(&w);
    return json_writer_end(&w);
}
