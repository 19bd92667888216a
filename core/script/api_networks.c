/* SPDX-License-Identifier: Apache-2.0 */

/* Networks of plugins: is the client in one of these? Its address is looked at where it lies. */

#include <stdlib.h>

#include "base/check.h"
#include "net/cidr_set.h"
#include "script/api_find.h"
#include "script/api_lib.h"

struct dml_networks {
    struct cidr_set set;
};

struct dml_networks *dml_networks_new(void)
{
    struct dml_networks *n = calloc(1, sizeof(*n));

    REQUIRE(n != NULL);
    return n;
}

void dml_networks_free(struct dml_networks *n)
{
    cidr_set_free(&n->set);
    free(n);
}

int dml_networks_add(struct dml_networks *n, const char *ptr, size_t len)
{
    struct cidr network;
    int rc = cidr_parse(slice_of(ptr, len), &network);

    if (rc == 0)
        cidr_set_add(&n->set, &network);
    return rc;
}

void dml_networks_sort(struct dml_networks *n)
{
    cidr_set_sort(&n->set);
}

int dml_networks_have_client(struct gateway *g, double handle, const struct dml_networks *n)
{
    struct exchange *x = api_find(g, handle);
    struct cidr client;

    if (!x)
        return ERR_GONE;
    return cidr_parse(x->client_ip, &client) == 0 && cidr_set_covers(&n->set, &client);
}
