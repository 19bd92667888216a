/* SPDX-License-Identifier: Apache-2.0 */

/* Says which plugin, route and hook it was that failed: in the log and in the metrics. */

#include "base/log.h"
#include "base/metric.h"
#include "gate/exchange.h"
#include "gate/gateway.h"
#include "gate/snapshot.h"
#include "script/hooks.h"

static struct slice plugin_of(const struct vm *vm, int use)
{
    if (!vm->snapshot || use < 0 || (uint32_t)use >= vm->snapshot->nuses)
        return SLICE("-");
    return vm->snapshot->uses[use]->name;
}

void hooks_where(struct vm *vm, struct slice *plugin, const char **phase)
{
    int phase_now = __atomic_load_n(&vm->cell.phase, __ATOMIC_RELAXED);

    *plugin = plugin_of(vm, __atomic_load_n(&vm->cell.use, __ATOMIC_RELAXED));
    *phase = phase_now < 0 ? "-" : phase_name((enum phase)phase_now);
}

static void count_failure(struct vm *vm, struct slice plugin, const char *hook, struct slice route)
{
    static const char *const labels[] = {"plugin", "hook", "route"};
    struct metric_family *f =
        metric_family("demilune_plugin_errors_total", "Hooks and tasks of plugins that failed.",
                      METRIC_COUNTER, labels, COUNT_OF(labels), NULL, 0);

    if (!f || !vm->gateway)
        return;
    struct slice values[] = {plugin, slice_from(hook), route};
    metric_inc(metric_series(f, values), vm->gateway->writer);
}

static void report(struct vm *vm, struct exchange *x, int use, int phase, bool cancelled,
                   struct slice message)
{
    struct slice plugin = plugin_of(vm, use);
    struct slice route = x && x->route ? x->route->name : SLICE("-");
    struct slice first = SLICE_NONE, rest = message;
    const char *hook = phase < 0 ? "-" : phase_name((enum phase)phase);

    slice_split(&rest, '\n', &first);
    if (cancelled) { /* what a hook makes of a wait that was cut off is of interest to its author alone */
        LOG_DEBUG("hook.cancelled", "a hook failed after it was cancelled", LOG_S("plugin", plugin),
                  LOG_C("hook", hook), LOG_S("error", first));
        return;
    }
    count_failure(vm, plugin, hook, route);
    LOG_ERROR("hook.failed", "a plugin's hook failed", LOG_S("plugin", plugin),
              LOG_S("route", route), LOG_C("hook", hook), LOG_S("error", first),
              LOG_S("traceback", rest.ptr ? rest : SLICE("")),
              LOG_S("exchange", x ? exchange_id(x) : SLICE("-")));
}

void hooks_report(const struct co *co, struct slice message)
{
    report(co->vm, co->exchange, co->use, co->phase, co->is_cancelled, message);
}

void hooks_report_use(struct vm *vm, int use, struct slice message)
{
    const struct co *co = vm->current;

    report(vm, co ? co->exchange : NULL, use, vm->cell.phase, co && co->is_cancelled, message);
}
