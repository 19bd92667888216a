/* SPDX-License-Identifier: Apache-2.0 */

/* A part of api.h, under the same rules: the response cache (api_cache.c). What a place asks for belongs to Lua, which
 * frees it by its collector; requests under way hold it longer. */

#ifndef DML_SCRIPT_API_CACHE_H
#define DML_SCRIPT_API_CACHE_H

#include "script/api_lib.h"

struct cache_conf;

struct dml_cache_options {
    double size, max_object; /* bytes */
    double ttl;              /* seconds; below 0: none */
    const char *tag_header;
    int32_t set_cookie, coalesce; /* 1 or 0 */
};
DML_API struct cache_conf *dml_cache_new(const char *name, size_t len,
                                         const struct dml_cache_options *o);
DML_API void dml_cache_free(struct cache_conf *c);

/* A template in place of the URL; a selector that keeps responses apart; a status that is kept, after which only those told
 * so are. ERR_SYNTAX and *error as dml_template_new; ERR_LIMIT. */
DML_API int dml_cache_key(struct cache_conf *c, const char *ptr, size_t len,
                          const struct dml_scope *scope, struct dml_slice *error);
DML_API int dml_cache_vary(struct cache_conf *c, const char *ptr, size_t len,
                           const struct dml_scope *scope, struct dml_slice *error);
/* In balance hooks: 1 when what is kept and stale is the reply. */
DML_API int dml_cache_stand_in(struct gateway *g, double handle);

/* With a tier: the worker begins to use it, and leaves it. */
DML_API void dml_cache_enter(struct gateway *g, struct cache_conf *c);
DML_API void dml_cache_leave(struct cache_conf *c);

/* The oldest purge that the tier is to be told, as 'k', 'p' or 't' for key, prefix and tag; 0: there is none. text lives
 * until the next call. It goes by dml_cache_purge_done. */
DML_API int dml_cache_purge_next(struct cache_conf *c, double *number, struct dml_slice *text);
DML_API void dml_cache_purge_done(struct cache_conf *c, double number);

/* What the tier tells of others' purges: one; the number of the latest; that it can't be listened to. */
DML_API void dml_cache_hear(struct cache_conf *c, double number, int what, const char *text,
                            size_t len);
DML_API void dml_cache_hear_number(struct cache_conf *c, double number);
DML_API void dml_cache_hear_nothing(struct cache_conf *c);
DML_API int dml_cache_status(struct cache_conf *c, int status);

/* In access hooks: DML_CACHE_ANSWERED: the reply is set; DML_CACHE_WAITS: cache_wait tells how it goes on. */
enum dml_cache_found { DML_CACHE_PASS, DML_CACHE_MISS, DML_CACHE_ANSWERED, DML_CACHE_WAITS };
DML_API int dml_cache_find(struct gateway *g, double handle, struct cache_conf *c);

#endif
