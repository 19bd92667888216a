/* SPDX-License-Identifier: Apache-2.0 */

/* Passwords for Lua: the work is done by two threads of the process, so that however many clients send passwords, no
 * worker's requests wait for it. What waits is bounded; beyond that it is refused at once ("full"). */

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gate/gateway.h"
#include "net/offload.h"
#include "script/calls.h"
#include "script/crypto_password.h"

#define THREADS 2
#define QUEUED_MAX 512
#define TIMEOUT_MS 30000 /* with the bounds of a hash's cost: much load, or a very slow machine */

enum { OUT_MAX = 1024 };

enum hashing_kind { HASHING_VERIFY, HASHING_MAKE, HASHING_DERIVE };

struct hashing {
    struct offload_job job;
    enum hashing_kind kind;
    struct slice password, other; /* a hash or a salt; both in bytes */
    struct kdf kdf;
    size_t out_len;
    /* state */
    struct co *co;
    int rc;
    char out[OUT_MAX];
    char bytes[];
};

static struct offload *pool;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

/* It lives until the process ends. */
static void make_pool(void)
{
    pool = offload_new(THREADS, QUEUED_MAX);
}

static void free_hashing(struct offload_job *job)
{
    struct hashing *h = container_of(job, struct hashing, job);

    explicit_bzero(h->bytes, h->password.len + h->other.len);
    explicit_bzero(h->out, sizeof(h->out));
    free(h);
}

/* On a thread of the pool. */
static void work(struct offload_job *job)
{
    struct hashing *h = container_of(job, struct hashing, job);

    switch (h->kind) {
    case HASHING_VERIFY: h->rc = password_verify(h->password, h->other); break;
    case HASHING_MAKE:
        h->rc = password_hash(h->password, h->out);
        h->out_len = h->rc > 0 ? (size_t)h->rc : 0;
        break;
    case HASHING_DERIVE: h->rc = kdf_run(&h->kdf, h->out, h->out_len); break;
    }
}

static void done(struct offload_job *job, void *reader UNUSED)
{
    struct hashing *h = container_of(job, struct hashing, job);
    struct co *co = h->co;
    int n = 1;

    if (h->rc < 0)
        n = co_push_error(co->thread, h->rc);
    else if (h->kind == HASHING_VERIFY)
        lua_pushboolean(co->thread, h->rc);
    else
        lua_pushlstring(co->thread, h->out, h->out_len);
    free_hashing(job);
    co_wake(co, n);
}

static void leave(struct co *co UNUSED, void *wait)
{
    struct hashing *h = wait;

    offload_leave(&h->job);
}

static struct hashing *new_hashing(enum hashing_kind kind, struct slice password,
                                   struct slice other)
{
    struct hashing *h = malloc(sizeof(*h) + password.len + other.len);

    REQUIRE(h != NULL);
    memset(h, 0, sizeof(*h));
    h->kind = kind;
    memcpy(h->bytes, password.ptr, password.len);
    memcpy(h->bytes + password.len, other.ptr, other.len);
    h->password = slice_of(h->bytes, password.len);
    h->other = slice_of(h->bytes + password.len, other.len);
    return h;
}

static int submit(lua_State *L, struct co *co, struct hashing *h)
{
    pthread_once(&pool_once, make_pool);
    h->co = co;
    h->job.work = work;
    h->job.done = done;
    h->job.drop = free_hashing;
    h->job.mailbox = co->vm->gateway->mailbox;
    int rc = offload_submit(pool, &h->job);
    if (rc < 0) {
        free_hashing(&h->job);
        return co_push_error(L, rc);
    }
    return co_wait(L, co, leave, h, TIMEOUT_MS);
}

static struct slice text_at(lua_State *L, int index)
{
    size_t len;
    const char *ptr = luaL_checklstring(L, index, &len);

    return slice_of(ptr, len);
}

/* password_verify(password, hash): true or false; nil and a word. */
static int password_verify_call(lua_State *L)
{
    struct co *co = co_current(L);
    struct slice password = text_at(L, 1), hash = text_at(L, 2);

    int rc = password_form(hash);
    if (rc < 0)
        return co_push_error(L, rc);
    if (password.len > PASSWORD_MAX) {
        lua_pushboolean(L, false);
        return 1;
    }
    return submit(L, co, new_hashing(HASHING_VERIFY, password, hash));
}

/* password_hash(password): the hash; nil and a word. */
static int password_hash_call(lua_State *L)
{
    struct co *co = co_current(L);
    struct slice password = text_at(L, 1);

    if (password.len == 0 || password.len > PASSWORD_MAX)
        return co_push_error(L, password.len == 0 ? ERR_ARG : ERR_LIMIT);
    return submit(L, co, new_hashing(HASHING_MAKE, password, SLICE("")));
}

static int derive(lua_State *L, struct kdf kdf, lua_Number len)
{
    struct co *co = co_current(L);
    struct slice password = text_at(L, 1), salt = text_at(L, 2);

    int rc = kdf_check(&kdf);
    if (rc == 0 && (!(len >= 1) || len > OUT_MAX))
        rc = ERR_ARG;
    if (rc == 0 && (password.len > 64 * KIB || salt.len > 64 * KIB))
        rc = ERR_LIMIT;
    if (rc < 0)
        return co_push_error(L, rc);
    struct hashing *h = new_hashing(HASHING_DERIVE, password, salt);
    h->kdf = kdf;
    h->kdf.password = h->password;
    h->kdf.salt = h->other;
    h->out_len = (size_t)len;
    return submit(L, co, h);
}

static double number_at(lua_State *L, int index, double most)
{
    double n = luaL_checknumber(L, index);

    return n >= 0 && n <= most ? n : most + 1;
}

/* kdf_pbkdf2(password, salt, digest, iterations, length) */
static int kdf_pbkdf2_call(lua_State *L)
{
    struct kdf kdf = {.digest = luaL_checkint(L, 3),
                      .iterations = (uint32_t)number_at(L, 4, UINT32_MAX - 1.0)};

    return derive(L, kdf, luaL_checknumber(L, 5));
}

/* kdf_scrypt(password, salt, n, r, p, length) */
static int kdf_scrypt_call(lua_State *L)
{
    struct kdf kdf = {.digest = -1,
                      .n = (uint64_t)number_at(L, 3, UINT32_MAX),
                      .r = (uint32_t)number_at(L, 4, 65535),
                      .p = (uint32_t)number_at(L, 5, 65535)};

    return derive(L, kdf, luaL_checknumber(L, 6));
}

const struct call call_crypto[] = {
    {"password_verify", password_verify_call},
    {"password_hash", password_hash_call},
    {"kdf_pbkdf2", kdf_pbkdf2_call},
    {"kdf_scrypt", kdf_scrypt_call},
    {NULL, NULL},
};
