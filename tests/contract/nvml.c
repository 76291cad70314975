/* Stands for NVIDIA's management library on machines without a card: what of it `nvidia-ml-py` is asked for here.
 *
 * The cards are read, at each call, from the file that STAND_IN_CARDS names; a line each:
 *     UUID minor total_bytes used_bytes busy_percent fault name...
 * A fault other than 0 is the status (nvmlReturn_t) that the card answers everything with; 15 is a lost card.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char uuid[96], name[96]; unsigned minor, busy; unsigned long long total, used; int fault; } card;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int gpu, memory; } rates;

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_FOUND = 6, LOST = 15 };

static int started;

static int read_cards(card *cards, int most) {
    const char *path = getenv("STAND_IN_CARDS");
    FILE *file = path ? fopen(path, "r") : NULL;
    int count = 0;
    char line[512];
    while (file && count < most && fgets(line, sizeof line, file)) {
        card *one = &cards[count];
        int at = 0;
        if (sscanf(line, "%95s %u %llu %llu %u %d %n", one->uuid, &one->minor, &one->total, &one->used, &one->busy,
                   &one->fault, &at) >= 6) {
            line[strcspn(line, "\n")] = 0;
            snprintf(one->name, sizeof one->name, "%.95s", line + at);
            count++;
        }
    }
    if (file) fclose(file);
    return count;
}

static int found(void *device, card *one) {
    card cards[16];
    long index = (long)device - 1;
    if (!started) return UNINITIALIZED;
    if (index < 0 || index >= read_cards(cards, 16)) return NOT_FOUND;
    *one = cards[index];
    return OK;
}

static int sound(void *device, card *one) {
    int status = found(device, one);
    return status ? status : one->fault;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; started = 1; return OK; }
int nvmlInit_v2(void) { started = 1; return OK; }
int nvmlShutdown(void) { started = 0; return OK; }
const char *nvmlErrorString(int status) { return status == LOST ? "GPU is lost" : "something else is wrong"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    card cards[16];
    *count = read_cards(cards, 16);
    return started ? OK : UNINITIALIZED;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    card one;
    *device = (void *)((long)index + 1);
    return found(*device, &one);
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    card one;
    int status = sound(device, &one);
    if (!status) snprintf(text, length, "%s", one.uuid);
    return status;
}
int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    card one;
    int status = sound(device, &one);
    if (!status) snprintf(text, length, "%s", one.name);
    return status;
}
int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) {
    card one;
    int status = sound(device, &one);
    *minor = one.minor;
    return status;
}
int nvmlDeviceGetMemoryInfo(void *device, memory *info) {
    card one;
    int status = sound(device, &one);
    if (!status) info->total = one.total, info->used = one.used, info->free = one.total - one.used;
    return status;
}
int nvmlDeviceGetUtilizationRates(void *device, rates *info) {
    card one;
    int status = sound(device, &one);
    if (!status) info->gpu = one.busy, info->memory = 0;
    return status;
}
