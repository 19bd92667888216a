/* SPDX-License-Identifier: Apache-2.0 */

/* POST /cache/purge: a JSON object says what goes, from all caches: { "key": URL }, { "prefix": text } or { "tag": word }.
 * The answer says how many responses that were. */

#include "app/admin.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "side/response_store.h"

static const char *const names[] = {
    [RESPONSE_PURGE_KEY] = "key", [RESPONSE_PURGE_PREFIX] = "prefix", [RESPONSE_PURGE_TAG] = "tag"};

struct wish {
    enum response_purge what;
    struct slice text;
};

static bool read_what(struct slice name, enum response_purge *out)
{
    size_t what = 0;

    while (what < COUNT_OF(names) && !slice_eq(name, slice_from(names[what])))
        what++;
    *out = (enum response_purge)what;
    return what < COUNT_OF(names);
}

/* One member with a text. */
static bool read_wish(struct json_reader *r, struct arena *a, struct wish *out)
{
    if (json_read(r) != JSON_OBJECT || json_read(r) != JSON_KEY)
        return false;
    if (!read_what(r->string, &out->what) || json_read(r) != JSON_STRING)
        return false;
    out->text = arena_dup(a, r->string);
    return json_read(r) == JSON_OBJECT_END && json_read(r) == JSON_END;
}

static size_t purge_all(const struct wish *w)
{
    struct response_store *s;
    size_t n = 0;

    for (size_t i = 0; (s = response_store_at(i)); i++) {
        n += response_store_purge(s, w->what, w->text);
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
