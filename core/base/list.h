/* SPDX-License-Identifier: Apache-2.0 */

/* Intrusive double list. A link that is in no list points at itself, so removing twice is
 * harmless. */

#ifndef DML_BASE_LIST_H
#define DML_BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

/* For heads and for links. */
static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *link)
{
    link->prev = at;
    link->next = at->next;
    at->next->prev = link;
    at->next = link;
}

static inline void list_push(struct list *head, struct list *link) /* to the front */
{
    list_insert_after(head, link);
}

static inline void list_append(struct list *head, struct list *link) /* to the end */
{
    list_insert_after(head->prev, link);
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* NULL when empty. */
static inline struct list *list_first(const struct list *head)
{
    return head->next == head ? NULL : head->next;
}

static inline struct list *list_last(const struct list *head)
{
    return head->prev == head ? NULL : head->prev;
}

/* Removes and returns the first, or NULL. */
static inline struct list *list_pop(struct list *head)
{
    struct list *l = list_first(head);
    if (l)
        list_remove(l);
    return l;
}

/* Moves all of `from` behind `to`'s last; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The body may remove `it`. */
#define LIST_EACH(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
