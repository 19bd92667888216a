/* SPDX-License-Identifier: Apache-2.0 */

/* Billing: an invoice for each order. */

#include <stdio.h>
#include <string.h>

#include "consumer.h"
#include "field.h"

static const struct {
    const char *sku;
    long cents;
} prices[] = {{"lamp", 5900}, {"chair", 12950}, {"desk", 49900}};

static long price_of(const char *sku)
{
    for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++)
        if (strcmp(prices[i].sku, sku) == 0)
            return prices[i].cents;
    return 1000;
}

static void take(const struct event *event)
{
    char sku[64], customer[64];
    long quantity = field_number(event->data, "quantity");

    field(event->data, "sku", sku, sizeof(sku));
    field(event->data, "customer", customer, sizeof(customer));
    long sum = quantity * price_of(sku);
    printf("billing: invoice for order %ld to %s, %ld x %s: %ld.%02ld (event %s)\n",
           field_number(event->data, "id"), customer[0] ? customer : "whom it may concern",
           quantity, sku, sum / 100, sum % 100, event->id);
}

int main(int argc, char **argv)
{
    static const char *const topics[] = {"orders", NULL};

    if (argc != 2) {
        fprintf(stderr, "usage: billing BROKERS\n");
        return 2;
    }
    return consume(argv[1], "billing", topics, take);
}
