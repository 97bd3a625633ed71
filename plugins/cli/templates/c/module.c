/* GET /{{name}}/{who} greets whoever is named. hotbay.h says what each function may do, and who owns what. */

#include "hotbay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What this module is: its routes, and what its config may be. */
HB_MODULE_NOTES(HB_JSON({
  "manifest": 1,
  "name": "{{name}}",
  "version": "0.1.0",
  "sdk": "c",
  "handlers": [{"name": "greet", "methods": ["GET"], "path": "/{{name}}/{who}"}],
  "configSchema": {
    "type": "object",
    "properties": {"greeting": {"type": "string", "maxLength": 64, "pattern": "^[^\"\\\\]*$"}},
    "additionalProperties": false
  }
}));

static const hb_host *host;

/* One for each config, shared by all its calls, which run at once on many threads: nothing in it changes after create. */
struct instance {
  char greeting[64 * 4 + 1];
};

/* Behind the first `what` between at and end; NULL if there is none, or if at is NULL. */
static const char *behind(const char *at, const char *end, const char *what) {
  const size_t length = strlen(what);
  for (; at && (size_t)(end - at) >= length; at++)
    if (memcmp(at, what, length) == 0)
      return at + length;
  return NULL;
}

/* The config's greeting. The host has checked the config against the schema above, so the text needs no unescaping; a real module with
 * more config links a JSON parser. */
static void read_greeting(hb_str json, char *out, size_t room) {
  const char *const text = (const char *)json.ptr, *const end = text + json.len;
  const char *const open = behind(behind(text, end, "\"greeting\""), end, "\"");
  const char *const close = behind(open, end, "\"");
  if (close)
    snprintf(out, room, "%.*s", (int)(close - open - 1), open);
  else
    snprintf(out, room, "Hello");
}

/* What a newer host wants to be understood, and this module does not know. */
static hb_rc refuse(hb_h handle) {
  host->fail(handle, HB_STR("the host asks for what this module is too old for"));
  return HB_UNSUPPORTED;
}

static hb_rc create(const hb_config *config, hb_h self, void **instance) {
  if (config->flags >> 16)
    return refuse(self);
  struct instance *made = malloc(sizeof *made);
  if (!made) {
    host->fail(self, HB_STR("there is no memory"));
    return HB_ERR;
  }
  read_greeting(config->config_json, made->greeting, sizeof made->greeting);
  *instance = made;
  return HB_READY;
}

/* Answers at once: no state is made, so poll and drop are never called. */
static hb_rc greet(const struct instance *instance, hb_h call, const hb_request *request) {
  static const hb_header headers[] = {HB_HEADER_INIT("content-type", "text/plain; charset=utf-8")};
  const hb_str who = request->params[0].value;
  char text[1024];
  const int length = snprintf(text, sizeof text, "%s, %.*s!\n", instance->greeting, (int)who.len, (const char *)who.ptr);
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = 200, .n_headers = 1, .headers = headers};
  response.body.ptr = (const uint8_t *)text;
  response.body.len = length < (int)sizeof text ? (size_t)length : sizeof text - 1;
  const hb_rc rc = host->respond(call, &response);
  return rc < 0 ? rc : HB_READY;
}

static hb_rc start(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)state;
  if (request->flags >> 16)
    return refuse(call);
  switch (request->handler) { /* The index into the manifest's handlers. */
  case 0:
    return greet(instance, call, request);
  default:
    return HB_ERR;
  }
}

static hb_rc poll_instance(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_READY;
}

static hb_rc stop(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_READY;
}

static void destroy(void *instance) { free(instance); }

static hb_rc poll(void *state, hb_h call) {
  (void)state, (void)call;
  return HB_ERR;
}

static void drop(void *state, int32_t why) { (void)state, (void)why; }

static const hb_module module = {
    .size = sizeof module,
    .abi_minor = HB_ABI_MINOR,
    .flags = HB_MOD_PANIC_UNWIND,
    .n_handlers = 1,
    .create = create,
    .poll_instance = poll_instance,
    .stop = stop,
    .destroy = destroy,
    .start = start,
    .poll = poll,
    .drop = drop,
};

const hb_module *hotbay_module_v1(const hb_host *given) {
  if (given->size < sizeof *given)
    return NULL; /* Older than this header. */
  host = given;
  return &module;
}
