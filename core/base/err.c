/* SPDX-License-Identifier: Apache-2.0 */

/* Tables made from err.def, and the translation of what the system reports. An unknown code is a
 * bug of the caller, but the answer to a client must not depend on it: it becomes "unknown" and
 * 500. */

#include "base/err.h"

#include <errno.h>

static const char *const words[ERR_COUNT] = {
#define ERR(name, word, status) [ERR_ORDINAL_##name] = word,
#include "base/err.def"
#undef ERR
};

static const short statuses[ERR_COUNT] = {
#define ERR(name, word, status) [ERR_ORDINAL_##name] = status,
#include "base/err.def"
#undef ERR
};

static bool is_known(int code)
{
    return code < 0 && code >= -ERR_COUNT;
}

const char *err_word(int code)
{
    if (code >= 0)
        return "ok";
    return is_known(code) ? words[-1 - code] : "unknown";
}

int err_status(int code)
{
    return is_known(code) ? statuses[-1 - code] : 500;
}

int err_from_errno(int errno_value)
{
    switch (errno_value) {
    case EAGAIN: /* EWOULDBLOCK is the same number on Linux */
    case EINTR:
    case EINPROGRESS: return ERR_AGAIN;
    case ENOMEM:
    case ENOBUFS: return ERR_NOMEM;
    case EMFILE:
    case ENFILE: return ERR_LIMIT;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED: return ERR_RESET;
    case ECONNREFUSED:
    case ENOENT: /* a unix socket whose server is away */ return ERR_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL: return ERR_UNREACHABLE;
    case ETIMEDOUT: return ERR_TIMEOUT;
    default: return ERR_SYSTEM;
    }
}
