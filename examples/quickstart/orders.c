/* SPDX-License-Identifier: Apache-2.0 */

/* The orders: POST /orders takes one, GET /orders lists them. Whose they are is what the gateway says (X-Consumer): this
 * service knows nothing of keys. */

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "service.h"

enum { MOST = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char owners[MOST][64];
static int count;

static void take(const char *consumer, struct response *response)
{
    if (count == MOST) {
        response->status = 507;
        add(response, "{\"error\":\"the book is full\"}");
        return;
    }
    snprintf(owners[count], sizeof(owners[0]), "%s", consumer);
    response->status = 201;
    add(response, "{\"id\":%d,\"consumer\":\"%s\"}", ++count, consumer);
}

static void list(const char *consumer, struct response *response)
{
    const char *comma = "";

    add(response, "{\"consumer\":\"%s\",\"orders\":[", consumer);
    for (int i = 0; i < count; i++) {
        if (strcmp(owners[i], consumer) != 0)
            continue;
        add(response, "%s%d", comma, i + 1);
        comma = ",";
    }
    add(response, "]}");
}

static void answer(const struct request *request, struct response *response)
{
    char consumer[64];

    header(request, "x-consumer", consumer, sizeof(consumer));
    pthread_mutex_lock(&lock);
    if (strcmp(request->path, "/orders") != 0) {
        response->status = 404;
        add(response, "{\"error\":\"no such page\"}");
    } else if (strcmp(request->method, "POST") == 0) {
        take(consumer, response);
    } else {
        list(consumer, response);
    }
    pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: orders PORT\n");
        return 2;
    }
    return serve(argv[1], answer);
}
