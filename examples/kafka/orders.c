/* SPDX-License-Identifier: Apache-2.0 */

/* The order service: POST /orders takes {"sku", "quantity", "customer"} and answers with the order. That there is a Kafka, it
 * does not know. */

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../quickstart/service.h"
#include "field.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int count;

static void take(const struct request *request, struct response *response)
{
    char sku[64], customer[64];
    long quantity = field_number(request->body, "quantity");

    field(request->body, "sku", sku, sizeof(sku));
    field(request->body, "customer", customer, sizeof(customer));
    if (!sku[0] || quantity < 1) {
        response->status = 422;
        add(response, "{\"error\":\"an order has a sku and a quantity\"}");
        return;
    }
    pthread_mutex_lock(&lock);
    int id = ++count;
    pthread_mutex_unlock(&lock);
    response->status = 201;
    add(response, "{\"id\":%d,\"sku\":\"%s\",\"quantity\":%ld,\"customer\":\"%s\"}", id, sku,
        quantity, customer);
}

static void answer(const struct request *request, struct response *response)
{
    if (strcmp(request->path, "/orders") == 0 && strcmp(request->method, "POST") == 0) {
        take(request, response);
        return;
    }
    response->status = 404;
    add(response, "{\"error\":\"no such page\"}");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: orders PORT\n");
        return 2;
    }
    return serve(argv[1], answer);
}
