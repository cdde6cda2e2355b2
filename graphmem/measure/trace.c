/* Records every aligned allocation of one thread, in order: preload it, call trace_start, run, call trace_stop.
 *
 * ONNX Runtime's CPU allocator asks posix_memalign or aligned_alloc for every tensor and kernel workspace when its
 * arena is off; everything else in the process uses malloc, which is left alone.
 *
 *     event > 0   that many bytes were allocated
 *     event < 0   a block of that many bytes was freed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define EVENTS (1 << 20)
#define SLOTS (1 << 17) /* a power of two, never half full: lookups stay short */

static int64_t events[EVENTS];
static int64_t blocks[EVENTS]; /* which block the event is about, numbered from 0 */
static int64_t count, numbered, lost;
static struct slot { void *pointer; int64_t size, number; } slots[SLOTS];
static int64_t used;
static volatile int on;
static pthread_t owner;

static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void (*real_free)(void *);

static void __attribute__((constructor)) resolve(void) {
  real_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
  real_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
  real_free = dlsym(RTLD_NEXT, "free");
}

static int mine(void) { return on && pthread_equal(owner, pthread_self()); }

static struct slot *slot_of(void *pointer) {
  uintptr_t h = ((uintptr_t)pointer >> 4) * 0x9E3779B97F4A7C15u >> 20;
  for (uintptr_t i = h;; i++) {
    struct slot *slot = &slots[i & (SLOTS - 1)];
    if (slot->pointer == pointer || !slot->pointer) return slot;
  }
}

static void record(int64_t size, int64_t number) {
  if (count == EVENTS) { lost++; return; }
  blocks[count] = number;
  events[count++] = size;
}

static void allocated(void *pointer, size_t size) {
  struct slot *slot = slot_of(pointer);
  if (!slot->pointer && ++used > SLOTS / 2) { lost++; used--; return; }
  slot->pointer = pointer;
  slot->size = (int64_t)size;
  slot->number = numbered++;
  record(slot->size, slot->number);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  int failed = real_posix_memalign(out, alignment, size);
  if (!failed && mine()) allocated(*out, size);
  return failed;
}

void *aligned_alloc(size_t alignment, size_t size) {
  void *pointer = real_aligned_alloc(alignment, size);
  if (pointer && mine()) allocated(pointer, size);
  return pointer;
}

void free(void *pointer) {
  if (!real_free) return; /* before the constructor ran: leak a few bytes */
  if (pointer && mine()) {
    struct slot *slot = slot_of(pointer);
    if (slot->pointer && slot->size) {
      record(-slot->size, slot->number);
      slot->size = 0; /* the key stays, so that probing past it still works */
    }
  }
  real_free(pointer);
}

void trace_start(void) {
  count = numbered = lost = used = 0;
  for (int64_t i = 0; i < SLOTS; i++) slots[i].pointer = 0, slots[i].size = 0;
  owner = pthread_self();
  on = 1;
}

/* Number of events; -1 when some were lost. */
int64_t trace_stop(void) {
  on = 0;
  return lost ? -1 : count;
}

int64_t *trace_events(void) { return events; }
int64_t *trace_blocks(void) { return blocks; }
