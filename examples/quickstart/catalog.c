/* SPDX-License-Identifier: Apache-2.0 */

/* The catalog: GET /products and GET /products/{id}. It says on which port it runs and which API version it was asked
 * for, so that one sees what the gateway did. */

#include <stdio.h>
#include <string.h>

#include "service.h"

static const struct {
    const char *id, *name;
    int cents;
} products[] = {
    {"lamp", "Desk lamp", 3900}, {"mug", "Tea mug", 1250}, {"pen", "Fountain pen", 4800}};

enum { COUNT = sizeof(products) / sizeof(products[0]) };

static const char *port;

static void add_product(struct response *response, int i)
{
    add(response, "{\"id\":\"%s\",\"name\":\"%s\",\"cents\":%d}", products[i].id, products[i].name,
        products[i].cents);
}

static void list(const struct request *request, struct response *response)
{
    char version[32];

    header(request, "api-version", version, sizeof(version));
    add(response, "{\"port\":%s,\"api_version\":\"%s\",\"products\":[", port, version);
    for (int i = 0; i < COUNT; i++) {
        add(response, "%s", i ? "," : "");
        add_product(response, i);
    }
    add(response, "]}");
}

static void answer(const struct request *request, struct response *response)
{
    if (strcmp(request->path, "/products") == 0) {
        list(request, response);
        return;
    }
    for (int i = 0; i < COUNT; i++)
        if (strncmp(request->path, "/products/", 10) == 0 &&
            strcmp(request->path + 10, products[i].id) == 0) {
            add_product(response, i);
            return;
        }
    response->status = 404;
    add(response, "{\"error\":\"no such product\"}");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: catalog PORT\n");
        return 2;
    }
    port = argv[1];
    return serve(port, answer);
}
