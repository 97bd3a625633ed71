/* A module whose calls last until a test lets them go on, for tests of what a new config means for them: whatever it says is its instance's config,
 * and its stop tells how many calls there are then. */
#include "hotbay.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HB_MODULE_NOTES(HB_JSON({"manifest": 1, "name": "drains", "version": "1.0", "sdk": "c", "handlers": [
  {"name": "config", "methods": ["GET"], "path": "/config"},
  {"name": "slow", "methods": ["GET"], "path": "/slow"},
  {"name": "stream", "methods": ["GET"], "path": "/stream"},
  {"name": "end", "methods": ["POST"], "path": "/end/{what}"}
]}));

enum { CONFIG, SLOW, STREAM, END, HANDLERS };

typedef struct {
  char config[128];
  _Atomic int calls;
} instance_state;

typedef struct {
  instance_state *instance;
  uint32_t handler;
} call_state;

static const hb_host *host;
/* By handler: who waits for /end, and whether it has come. */
static _Atomic uint64_t waiting[HANDLERS];
static _Atomic int ended[HANDLERS];

static hb_rc say(hb_h call, uint32_t flags, const char *text) {
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY | flags, .status = 200};
  response.body.ptr = (const uint8_t *)text;
  response.body.len = strlen(text);
  return host->respond(call, &response);
}

static hb_rc poll(void *pointer, hb_h call) {
  call_state *state = pointer;
  atomic_store(&waiting[state->handler], call);
  if (!atomic_load(&ended[state->handler]))
    return HB_PENDING;
  if (state->handler == SLOW)
    return say(call, 0, state->instance->config);
  hb_buf last = {(const uint8_t *)state->instance->config, strlen(state->instance->config), NULL, NULL};
  hb_rc rc = host->write(call, &last, HB_WRITE_COPY);
  return rc == HB_READY ? host->finish(call, NULL, 0) : rc;
}

static void drop(void *pointer, int32_t why) {
  call_state *state = pointer;
  (void)why;
  atomic_fetch_sub(&state->instance->calls, 1);
  free(state);
}

static hb_rc end(hb_h call, const hb_request *request) {
  const hb_str what = request->params[0].value;
  const uint32_t handler = what.len == 4 && !memcmp(what.ptr, "slow", 4) ? SLOW : STREAM;
  atomic_store(&ended[handler], 1);
  host->wake(atomic_load(&waiting[handler]));
  return say(call, 0, "");
}

static hb_rc start(void *pointer, hb_h call, const hb_request *request, void **out) {
  instance_state *instance = pointer;
  if (request->handler == CONFIG)
    return say(call, 0, instance->config);
  if (request->handler == END)
    return end(call, request);
  if (request->handler == STREAM && say(call, HB_RESP_STREAM, instance->config) != HB_READY)
    return HB_ERR;
  call_state *state = calloc(1, sizeof *state);
  if (!state)
    return HB_ERR;
  state->instance = instance;
  state->handler = request->handler;
  atomic_fetch_add(&instance->calls, 1);
  *out = state;
  if (request->handler == SLOW)
    host->log(call, HB_LOG_WARN, HB_STR("drains"), HB_STR("a slow call waits"), hb_str_of(NULL, 0));
  host->wake(call); /* The first poll looks whether /end has come. */
  return HB_PENDING;
}

static hb_rc create(const hb_config *config, hb_h self, void **out) {
  instance_state *instance = calloc(1, sizeof *instance);
  (void)self;
  if (!instance)
    return HB_ERR;
  snprintf(instance->config, sizeof instance->config, "%.*s", (int)config->config_json.len, (const char *)config->config_json.ptr);
  *out = instance;
  return HB_READY;
}

static hb_rc settled(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_READY;
}

static hb_rc stop(void *pointer, hb_h self) {
  instance_state *instance = pointer;
  char text[192];
  const int length = snprintf(text, sizeof text, "stopped %s with %d calls", instance->config, atomic_load(&instance->calls));
  host->log(self, HB_LOG_WARN, HB_STR("drains"), hb_str_of(text, (size_t)length), hb_str_of(NULL, 0));
  return HB_READY;
}

static void destroy(void *instance) { free(instance); }

const hb_module *hotbay_module_v1(const hb_host *given) {
  static const hb_module module = {
      .size = sizeof module, .abi_minor = HB_ABI_MINOR, .flags = HB_MOD_PANIC_UNWIND, .n_handlers = HANDLERS,
      .create = create, .poll_instance = settled, .stop = stop, .destroy = destroy, .start = start, .poll = poll, .drop = drop};
  host = given;
  return &module;
}
