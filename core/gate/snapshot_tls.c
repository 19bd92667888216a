/* SPDX-License-Identifier: Apache-2.0 */

/* TLS of listeners and upstreams: files -> certificates -> policies. Whatever is wrong with a file is
 * said at the key that names it. Keys are read into an arena that goes at once. */

#include <errno.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "gate/conf_keys.h"
#include "gate/conf_scalar.h"
#include "gate/snapshot_build.h"
#include "net/tls_client.h"
#include "net/tls_ctx.h"

#define PEM_MAX (1 * MIB)

/* --- files ------------------------------------------------------------------------------------ */

/* The file that a key of the map names; absent, with a fault, when it can't be read. */
static struct slice read_pem(struct build *b, const struct conf *map, const char *key,
                             struct slice path, struct arena *a)
{
    const struct conf *node = build_get(map, key);
    struct slice text = SLICE_NONE, name = build_text(node);

    if (!name.ptr)
        return SLICE_NONE;
    struct slice file = conf_resolve(node->file->dir, name, a);
    faults_saw(b->faults, file.ptr, false);
    int rc = memchr(file.ptr, '\0', file.len) ? ERR_NOT_FOUND
                                              : conf_read_file(file.ptr, PEM_MAX, a, &text);
    if (rc < 0)
        fault_system(b->faults, node, PATH(b, "%.*s.%s", SLICE_ARG(path), key), "can't read %s: %s",
                     file.ptr,
                     rc == ERR_SYSTEM  ? strerror(errno)
                     : rc == ERR_LIMIT ? "longer than 1 MiB"
                                       : "no such name");
    return rc < 0 ? SLICE_NONE : text;
}

/* Metrics tell when it expires. */
static void note(struct build *b, struct slice file, const struct tls_cert *c)
{
    struct snapshot *s = b->s;
    struct certificate_conf *more =
        arena_alloc(b->a, (s->ncertificates + 1) * sizeof(s->certificates[0]));

    for (uint32_t i = 0; i < s->ncertificates; i++)
        more[i] = s->certificates[i];
    more[s->ncertificates++] = (struct certificate_conf){
        .file = file,
        .not_after = c->not_after,
        .print = hash_stable(slice_of(c->shared.identity, sizeof(c->shared.identity)), 0),
    };
    s->certificates = more;
}

/* A reference, or NULL with a fault. */
static struct tls_cert *make_cert(struct build *b, const struct conf *map, struct slice path,
                                  struct slice cert, struct slice key)
{
    struct tls_cert *c = NULL;
    struct tls_fault fault, other;

    if (tls_cert_make(cert, key, (int64_t)(clock_wall_ms_now() / 1000), &c, &fault) == 0)
        return c;
    const char *at = fault.of_key ? "key" : "cert";
    const struct conf *node = build_get(map, at);
    struct slice where = PATH(b, "%.*s.%s", SLICE_ARG(path), at);
    if (b->source->goes_on && tls_cert_make(cert, key, TLS_ANY_TIME, &c, &other) == 0)
        warn_at(b->faults, node, where, "%.*s %s", SLICE_ARG(node->text), fault.text);
    else
        fault_at(b->faults, node, where, "%.*s %s", SLICE_ARG(node->text), fault.text);
    return c;
}

/* The certificate that the keys cert and key of a map name; a reference, or NULL. */
static struct tls_cert *read_cert(struct build *b, const struct conf *map, struct slice path)
{
    struct arena *a = arena_new_heap(16 * KIB);
    struct slice cert = read_pem(b, map, "cert", path, a), key = read_pem(b, map, "key", path, a);
    struct tls_cert *c = cert.ptr && key.ptr ? make_cert(b, map, path, cert, key) : NULL;

    if (key.ptr)
        explicit_bzero((char *)(uintptr_t)key.ptr, key.len);
    arena_free(a);
    if (c)
        note(b, build_text(build_get(map, "cert")), c);
    return c;
}

/* --- listeners -------------------------------------------------------------------------------- */

struct reading {
    /* owned */
    struct arena *arena; /* of the texts */
    VEC(struct tls_cert *) certs;
    VEC(const struct conf *) places; /* of the same */
    /* borrowed */
    const struct conf *tls;
    struct slice path;
};

static void read_certs(struct build *b, struct reading *r)
{
    const struct conf *list = build_get(r->tls, "certificates");

    for (uint32_t i = 0; i < build_count(list); i++) {
        struct slice path = PATH(b, "%.*s.certificates[%u]", SLICE_ARG(r->path), i);
        struct tls_cert *c = read_cert(b, list->items[i], path);
        if (!c)
            continue;
        if (c->nnames == 0 && i > 0)
            warn_at(b->faults, list->items[i], path,
                    "has no DNS name (subjectAltName): no client will be shown it");
        vec_push(&r->certs, c);
        vec_push(&r->places, list->items[i]);
    }
    if (list && build_count(list) == 0)
        fault_at(b->faults, list, PATH(b, "%.*s.certificates", SLICE_ARG(r->path)),
                 "TLS needs a certificate");
}

static void check_clash(struct build *b, const struct reading *r)
{
    struct tls_clash clash;

    if (tls_certs_clash(r->certs.items, r->certs.n, &clash))
        fault_at(b->faults, r->places.items[clash.second],
                 PATH(b, "%.*s.certificates", SLICE_ARG(r->path)),
                 "the certificate of line %u has the name %.*s and the same kind of key",
                 r->places.items[clash.first]->line, SLICE_ARG(clash.name));
}

static enum tls_client_auth client_auth(struct build *b, const struct reading *r)
{
    const struct conf *node = build_get(r->tls, "client_auth");

    if (build_get(r->tls, "client_ca"))
        return slice_eq(build_text(node), SLICE("optional")) ? TLS_CLIENT_OPTIONAL
                                                             : TLS_CLIENT_REQUIRED;
    if (node)
        fault_at(b->faults, node, PATH(b, "%.*s.client_auth", SLICE_ARG(r->path)),
                 "needs client_ca, the authorities that clients are held against");
    return TLS_CLIENT_NONE;
}

static struct tls_server *make_server(struct build *b, const struct reading *r,
                                      const struct listener_conf *l)
{
    struct tls_server_spec spec = {
        .certs = r->certs.items,
        .ncerts = r->certs.n,
        .listener = l->text,
        .client_auth = client_auth(b, r),
        .client_ca = read_pem(b, r->tls, "client_ca", r->path, r->arena),
        .only_tls13 = slice_eq(conf_text(r->tls, "listener_tls", "min_version"), SLICE("1.3")),
        .resumes = conf_bool(r->tls, "listener_tls", "session_resumption"),
    };
    struct tls_server *server = NULL;
    const char *why;

    if (spec.client_auth != TLS_CLIENT_NONE && !spec.client_ca.ptr)
        return NULL; /* it could not be read */
    if (tls_server_make(&spec, &server, &why) < 0) {
        const struct conf *node = build_get(r->tls, "client_ca");
        fault_at(b->faults, node, PATH(b, "%.*s.client_ca", SLICE_ARG(r->path)), "%.*s %s",
                 SLICE_ARG(node->text), why);
    }
    return server;
}

struct tls_server *build_listener_tls(struct build *b, const struct listener_conf *l,
                                      uint32_t index)
{
    struct reading r = {.tls = build_get(l->place, "tls"),
                        .path = PATH(b, "listeners[%u].tls", index)};
    struct tls_server *server = NULL;

    if (!r.tls || r.tls->type != CONF_MAP)
        return NULL;
    r.arena = arena_new_heap(16 * KIB);
    read_certs(b, &r);
    check_clash(b, &r);
    server = make_server(b, &r, l);
    for (size_t i = 0; i < r.certs.n; i++)
        tls_cert_unref(r.certs.items[i]);
    vec_free(&r.certs);
    vec_free(&r.places);
    arena_free(r.arena);
    return server;
}

/* --- upstreams -------------------------------------------------------------------------------- */

/* Both or none; true when they are there. */
static bool has_cert(struct build *b, const struct conf *tls, struct slice path)
{
    const struct conf *cert = build_get(tls, "cert"), *key = build_get(tls, "key");

    if (!cert != !key)
        fault_at(b->faults, cert ? cert : key,
                 PATH(b, "%.*s.%s", SLICE_ARG(path), cert ? "cert" : "key"), "needs %s beside it",
                 cert ? "key" : "cert");
    return cert && key;
}

struct tls_client *build_upstream_tls(struct build *b, const struct conf *tls, struct slice path)
{
    struct arena *a = arena_new_heap(16 * KIB);
    struct tls_client_spec spec = {.no_verify = tls && !conf_bool(tls, "upstream_tls", "verify")};
    struct tls_client *client = NULL;
    const char *why;
    bool fine = true;

    if (tls && has_cert(b, tls, path)) {
        spec.cert = read_cert(b, tls, path);
        fine = spec.cert != NULL;
    }
    if (tls && build_get(tls, "ca")) {
        spec.ca = read_pem(b, tls, "ca", path, a);
        fine = fine && spec.ca.ptr;
    }
    if (fine && tls_client_make(&spec, &client, &why) < 0) {
        const struct conf *node = build_get(tls, "ca");
        fault_at(b->faults, node, PATH(b, "%.*s.ca", SLICE_ARG(path)), "%.*s %s",
                 SLICE_ARG(node->text), why);
    }
    tls_cert_unref(spec.cert);
    arena_free(a);
    return client;
}
