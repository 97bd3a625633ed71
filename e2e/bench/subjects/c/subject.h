/* What the benchmark's subjects in C share: they answer at once, and have nothing to wait for. A subject defines create, destroy and start, and ends
 * with SUBJECT. */
#ifndef SUBJECT_H
#define SUBJECT_H
#include "hotbay.h"

static const hb_host *host;

static hb_rc settled(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_READY;
}

/* start() never answers HB_PENDING. */
static hb_rc poll(void *state, hb_h call) {
  (void)state, (void)call;
  return HB_ERR;
}

static void drop(void *state, int32_t why) { (void)state, (void)why; }

#define SUBJECT                                                                                                                  \
  static const hb_module module = {.size = sizeof module, .abi_minor = HB_ABI_MINOR, .flags = HB_MOD_PANIC_UNWIND,              \
                                   .n_handlers = 1, .create = create, .poll_instance = settled, .stop = settled,                \
                                   .destroy = destroy, .start = start, .poll = poll, .drop = drop};                             \
  const hb_module *hotbay_module_v1(const hb_host *given) {                                                                      \
    host = given;                                                                                                                \
    return &module;                                                                                                              \
  }
#endif
