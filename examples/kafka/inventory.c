/* SPDX-License-Identifier: Apache-2.0 */

/* The inventory: deliveries come in, orders go out. */

#include <stdio.h>
#include <string.h>

#include "consumer.h"
#include "field.h"

enum { ARTICLES = 64, FIRST = 10 }; /* of each article there are ten in the beginning */

static struct {
    char sku[64];
    long left;
} stock[ARTICLES];

static long *left_of(const char *sku)
{
    int i = 0;

    while (i < ARTICLES - 1 && stock[i].sku[0] && strcmp(stock[i].sku, sku) != 0)
        i++;
    if (!stock[i].sku[0]) {
        snprintf(stock[i].sku, sizeof(stock[i].sku), "%s", sku);
        stock[i].left = FIRST;
    }
    return &stock[i].left;
}

static void take(const struct event *event)
{
    char sku[64];
    long quantity = field_number(event->data, "quantity");

    field(event->data, "sku", sku, sizeof(sku));
    long *left = left_of(sku);
    if (strcmp(event->type, "shop.goods.delivered") == 0) {
        *left += quantity;
        printf("inventory: %ld x %s came in, there are %ld (event %s)\n", quantity, sku, *left,
               event->id);
        return;
    }
    *left -= quantity;
    printf("inventory: order %ld takes %ld x %s, %ld are left (event %s)\n",
           field_number(event->data, "id"), quantity, sku, *left, event->id);
}

int main(int argc, char **argv)
{
    static const char *const topics[] = {"orders", "deliveries", NULL};

    if (argc != 2) {
        fprintf(stderr, "usage: inventory BROKERS\n");
        return 2;
    }
    return consume(argv[1], "inventory", topics, take);
}
