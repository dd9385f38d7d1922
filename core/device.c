/* The list of devices: see device.h. */
#include <thindm/device.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *device_new(const struct device_desc *desc, const char *id, size_t size)
{
    assert(size >= sizeof(struct device));
    struct device *dev = calloc(1, size);
    if (!dev)
        return NULL;
    dev->desc = desc;
    (void)snprintf(dev->id, sizeof(dev->id), "%s", id);
    return dev;
}

void device_free(struct device *dev)
{
    if (!dev)
        return;
    if (dev->desc->unplug)
        dev->desc->unplug(dev);
    if (dev->desc->destroy)
        dev->desc->destroy(dev);
    free(dev);
}

void devices_add(struct devices *list, struct device *dev)
{
    struct device **link = &list->first;
    while (*link)
        link = &(*link)->next;
    *link = dev;
    dev->next = NULL;
    dev->log = list->log;
}

void devices_reset(struct devices *list)
{
    for (struct device *dev = list->first; dev; dev = dev->next) {
        if (dev->desc->reset)
            dev->desc->reset(dev);
    }
}

void devices_free(struct devices *list)
{
    while (list->first) {
        struct device **link = &list->first;
        while ((*link)->next)
            link = &(*link)->next;
        struct device *last = *link;
        *link = NULL;
        device_free(last);
    }
}

struct device *devices_find(const struct devices *list, const char *id)
{
    struct device *dev = list->first;
    while (dev && strcmp(dev->id, id) != 0)
        dev = dev->next;
    return dev;
}
