/* SPDX-License-Identifier: Apache-2.0 */

/* GET /metrics: the registry in the form that the client asks for. OpenMetrics only where it is named: what does not say
 * so may know the older text alone. */

#include "app/admin.h"
#include "base/metric.h"
#include "base/text.h"

/* Is q=0 among the parameters? */
static bool is_refused(struct slice params)
{
    struct slice one;

    while (slice_split(&params, ';', &one)) {
        double q;
        one = slice_trim(one);
        if (slice_eq_nocase(slice_sub(one, 0, 2), SLICE("q=")) &&
            text_to_double(slice_from_index(one, 2), &q) == 0 && q == 0)
            return true;
    }
    return false;
}

static bool wants_openmetrics(struct slice accept)
{
    struct slice one, type;

    while (slice_next_token(&accept, &one)) {
        slice_split(&one, ';', &type);
        if (slice_eq_nocase(slice_trim(type), SLICE("application/openmetrics-text")))
            return !is_refused(one);
    }
    return false;
}

int metrics_page(struct admin_answer *answer)
{
    bool is_openmetrics =
        wants_openmetrics(headers_get_id(&answer->request->headers, HEADER_ACCEPT));

    answer->type = is_openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                  : "text/plain; version=0.0.4; charset=utf-8";
    return metric_write(&answer->body, is_openmetrics);
}
