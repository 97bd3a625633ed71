/* Modules that break one rule each, in how their instances and tables come and go. */
#include "kit.h"

/* --- instances --- */

static hb_rc create_denied(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)instance;
  host->fail(self, HB_STR("the words of create_denies"));
  return HB_DENIED;
}
BEHAVIOUR create_denies = {.create = create_denied};
static hb_rc create_failed(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)instance;
  host->fail(self, HB_STR("the words of create_fails"));
  return HB_ERR;
}
BEHAVIOUR create_fails = {.create = create_failed};

static hb_rc create_panicked(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)instance;
  host->fail(self, HB_STR("the words of create_panics"));
  return HB_PANIC;
}
BEHAVIOUR create_panics = {.create = create_panicked};
static hb_rc create_unknown(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  *instance = NULL;
  return 77;
}
BEHAVIOUR create_answers_nonsense = {.create = create_unknown};

/* What is pending exists, so it is destroyed when it fails; and not stopped. */
static hb_rc create_wakes(const hb_config *config, hb_h self, void **instance) {
  (void)config;
  *instance = malloc(1);
  host->wake(self);
  return *instance ? HB_PENDING : HB_ERR;
}
static hb_rc poll_fails(void *instance, hb_h self) {
  (void)instance;
  host->fail(self, HB_STR("the words of create_fails_later"));
  return HB_ERR;
}
BEHAVIOUR create_fails_later = {.create = create_wakes, .poll_instance = poll_fails, .destroy = free};

static hb_rc pending_instance(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_PENDING;
}
static hb_rc create_pending(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  *instance = NULL;
  return HB_PENDING;
}
BEHAVIOUR create_never_ready = {.create = create_pending, .poll_instance = pending_instance};
BEHAVIOUR stop_never_ready = {.stop = pending_instance, .poll_instance = pending_instance};
/* It would settle at the next poll, it says each time. */
static hb_rc wake_and_wait(void *instance, hb_h self) {
  (void)instance;
  host->timer(self, host->now_ns() + 20000000);
  return HB_PENDING;
}
BEHAVIOUR stop_wakes_for_ever = {.stop = wake_and_wait, .poll_instance = wake_and_wait};
/* It would settle at its only poll: a minute from now. */
static hb_rc ring_too_late(void *instance, hb_h self) {
  (void)instance;
  host->timer(self, host->now_ns() + UINT64_C(60000000000));
  return HB_PENDING;
}
BEHAVIOUR stop_rings_too_late = {.stop = ring_too_late};

static hb_rc create_hanging(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self, (void)instance;
  while (pause() != 0)
    continue;
  return HB_ERR;
}
BEHAVIOUR create_hangs = {.create = create_hanging};

static hb_rc stop_hanging(void *instance, hb_h self) {
  (void)instance, (void)self;
  while (pause() != 0)
    continue;
  return HB_ERR;
}
BEHAVIOUR stop_hangs = {.stop = stop_hanging};

/* Each takes somewhat more than the 3 s that the header gives it. */
#define TOO_LONG_MS 3200
static hb_rc create_slow(const hb_config *config, hb_h self, void **instance) {
  pause_ms(TOO_LONG_MS);
  return usual_create(config, self, instance);
}
BEHAVIOUR create_takes_too_long = {.create = create_slow};
static hb_rc slow_instance(void *instance, hb_h self) {
  pause_ms(TOO_LONG_MS);
  return usual_instance(instance, self);
}
BEHAVIOUR poll_instance_takes_too_long = {.create = create_wakes, .poll_instance = slow_instance, .destroy = free};
BEHAVIOUR stop_takes_too_long = {.stop = slow_instance};
static void destroy_slow(void *instance) {
  pause_ms(TOO_LONG_MS);
  usual_destroy(instance);
}
BEHAVIOUR destroy_takes_too_long = {.destroy = destroy_slow};

/* Its state is the image's: a second instance finds it taken, and after destroy it stays so. */
static int instances;
static hb_rc create_single(const hb_config *config, hb_h self, void **instance) {
  (void)config;
  *instance = NULL;
  if (!instances++)
    return HB_READY;
  host->fail(self, HB_STR("there is an instance already"));
  return HB_ERR;
}
BEHAVIOUR one_instance_ever = {.create = create_single};
static void destroy_single(void *instance) {
  (void)instance;
  instances--;
}
BEHAVIOUR one_instance_at_a_time = {.create = create_single, .destroy = destroy_single};

/* The config is the image's: the last one counts for every instance. */
static char the_config[256];
static hb_rc create_shares(const hb_config *config, hb_h self, void **instance) {
  (void)self;
  *instance = NULL;
  snprintf(the_config, sizeof the_config, "%.*s", (int)config->config_json.len, (const char *)config->config_json.ptr);
  return HB_READY;
}
static hb_rc start_tells(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  return say(call, the_config);
}
BEHAVIOUR shares_its_config = {.create = create_shares, .start = start_tells};

static void *stays(void *nothing) {
  for (;;)
    pause();
  return nothing;
}
static int leave_a_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, stays, NULL) != 0)
    return -1;
  pthread_setname_np(thread, "left-behind");
  return pthread_detach(thread);
}
static hb_rc create_with_thread(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  *instance = NULL;
  return leave_a_thread() == 0 ? HB_READY : HB_ERR;
}
BEHAVIOUR leaves_a_thread = {.create = create_with_thread};

static hb_h former;
static hb_rc create_remembers(const hb_config *config, hb_h self, void **instance) {
  (void)config;
  *instance = NULL;
  former = self;
  return HB_READY;
}
static hb_rc start_answers_instance(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  say(former, "to an instance\n");
  return say(call, "to a call\n");
}
BEHAVIOUR responds_to_instance = {.create = create_remembers, .start = start_answers_instance};

/* --- tables --- */

static hb_module wrong;
static const hb_module *usual_one(void) {
  static const struct behaviour usual;
  wrong = usual_table(&usual);
  return &wrong;
}
static const hb_module *refuse(void) {
  host->log(0, HB_LOG_ERROR, hb_str_of(NULL, 0), HB_STR("the words of refuses_the_host"), hb_str_of(NULL, 0));
  return NULL;
}
BEHAVIOUR refuses_the_host = {.entry = refuse};
#define TABLE(name, ...)                        \
  static const hb_module *entry_##name(void) {  \
    usual_one();                                \
    __VA_ARGS__;                                \
    return &wrong;                              \
  }                                             \
  BEHAVIOUR name = {.entry = entry_##name}
TABLE(table_too_short, wrong.size = offsetof(hb_module, drop));
TABLE(table_of_nothing, wrong.size = 0);
TABLE(null_function, wrong.poll = NULL);
TABLE(unknown_high_flag, wrong.flags |= 0x10000u);
TABLE(panics_abort, wrong.flags = 0);
TABLE(other_handlers, wrong.n_handlers = 2);
TABLE(thread_in_entry, leave_a_thread());
static const void *any_extension(const char *id) { return id; }
TABLE(claims_every_extension, wrong.extension = any_extension);

/* --- files: the build's flags make what is wrong --- */

BEHAVIOUR minor_too_new = {0};
BEHAVIOUR no_notes = {0};
BEHAVIOUR broken_manifest = {0};
BEHAVIOUR name_of_eight_bytes = {0};
BEHAVIOUR other_flags_in_note = {0};
BEHAVIOUR extra_symbol = {0};
#ifdef EXTRA
__attribute__((visibility("default"))) int an_extra_symbol(void);
int an_extra_symbol(void) { return 1; }
#endif
BEHAVIOUR no_entry = {0};
#ifndef NO_ENTRY
ENTRY
#endif
