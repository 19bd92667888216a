/* SPDX-License-Identifier: Apache-2.0 */

/* The HTTP that the two services of this example speak: enough of HTTP/1.1 for a gateway in front of them, one thread
 * for each connection. A service is a function that answers one request. */

#ifndef SERVICE_H
#define SERVICE_H

#include <stddef.h>

struct request {
    char method[16], path[256];
    const char *head; /* the lines behind the first */
    const char *body;
};

struct response {
    int status;
    char body[4096]; /* JSON */
};

/* Value of a header in `out`, "" when it is not there. */
void header(const struct request *r, const char *name, char *out, size_t size);

/* Appends to the response's body. */
void add(struct response *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Serves 127.0.0.1:port, or the variable ADDRESS and that port, until the process is ended. */
int serve(const char *port,
          void (*answer)(const struct request *request, struct response *response));

#endif
