/* A module of ABI 1.0 that uses nearly all of it. It was written when 1.0 was frozen and is never changed: with the header beside it, and as the binary
 * that was made of both then, it must load and work in every host of ABI 1.
 *
 *   /everything/start   answers in start, with an owned body
 *   /everything/later   answers as a whole, in a poll that its own wake and then a timer brought
 *   /everything/other   sends back what comes while it comes: the bytes of an upgraded connection, if one is offered; otherwise the request's body,
 *                       and then words and trailers */
#include "hotbay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HB_MODULE_NOTES(HB_JSON({
  "manifest": 1, "name": "everything", "version": "1.0", "sdk": "c",
  "handlers": [{"name": "everything", "methods": ["GET", "POST"], "path": "/everything/{what}"}],
  "configSchema": {"type": "object", "properties": {"greeting": {"type": "string"}}, "additionalProperties": false}
}));

static const hb_host *host;

/* Whether a millisecond has not passed since this was asked first. A wake may come early, for another reason. */
static int rests(hb_h handle, uint64_t *due) {
  if (*due)
    return host->now_ns() < *due;
  *due = host->now_ns() + 1000000;
  return host->timer(handle, *due) >= 0;
}

static int text_is(hb_str text, const char *other) { return text.len == strlen(other) && !memcmp(text.ptr, other, text.len); }

/* --- figures --- */

struct figures {
  const hb_metrics *metrics; /* NULL: the host has none, or not these. */
  uint64_t calls, open, bytes;
};

static void figures_register(struct figures *figures, hb_h self) {
  static const double bounds[] = {1000, 1000000};
  const hb_header labels[] = {HB_HEADER_INIT("abi", "1.0")};
  const hb_metrics *metrics = host->extension(HB_METRICS_ID);
  if (!metrics)
    return;
  const hb_str help = HB_STR("Of the module everything.");
  if (metrics->register_series(self, HB_METRIC_COUNTER, HB_STR("everything_calls_total"), help, labels, 1, NULL, 0, &figures->calls) >= 0 &&
      metrics->register_series(self, HB_METRIC_GAUGE, HB_STR("everything_ready"), help, labels, 1, NULL, 0, &figures->open) >= 0 &&
      metrics->register_series(self, HB_METRIC_HISTOGRAM, HB_STR("everything_bytes"), help, labels, 1, bounds, 2, &figures->bytes) >= 0)
    figures->metrics = metrics;
}

/* --- instance: comes up and goes down in two steps each --- */

struct instance {
  char *config;
  size_t config_length;
  struct figures figures;
  uint64_t due; /* 0: no timer was set yet. */
  int stops;
};

static hb_rc create(const hb_config *config, hb_h self, void **out) {
  if (config->flags >> 16) {
    host->fail(self, HB_STR("the host asks for what this module does not know"));
    return HB_UNSUPPORTED;
  }
  struct instance *instance = calloc(1, sizeof *instance);
  if (!instance || !(instance->config = malloc(config->config_json.len + 1))) {
    free(instance);
    host->fail(self, HB_STR("there is no memory"));
    return HB_ERR;
  }
  memcpy(instance->config, config->config_json.ptr, config->config_json.len);
  instance->config_length = config->config_json.len;
  figures_register(&instance->figures, self);
  if (__atomic_load_n(host->log_level, __ATOMIC_RELAXED) >= HB_LOG_INFO)
    host->log(self, HB_LOG_INFO, HB_STR("everything"), HB_STR("comes up"), HB_STR("{\"abi\":\"1.0\"}"));
  *out = instance;
  host->wake(self);
  return HB_PENDING;
}

static hb_rc poll_instance(void *state, hb_h self) {
  struct instance *instance = state;
  if (rests(self, &instance->due))
    return HB_PENDING;
  if (instance->figures.metrics)
    instance->figures.metrics->set(instance->figures.open, instance->stops ? 0 : 1);
  if (instance->stops)
    host->log(self, HB_LOG_INFO, hb_str_of(NULL, 0), HB_STR("has stopped"), hb_str_of(NULL, 0));
  return HB_READY;
}

static hb_rc stop(void *state, hb_h self) {
  struct instance *instance = state;
  instance->due = 0;
  instance->stops = 1;
  host->wake(self);
  return HB_PENDING;
}

static void destroy(void *state) {
  struct instance *instance = state;
  free(instance->config);
  free(instance);
}

/* --- call --- */

enum step { READ, WRITE, WORDS, END, LATER };

struct call {
  struct instance *instance;
  enum step step;
  int upgraded;
  uint64_t due;
  size_t length;
  hb_buf piece; /* Of what was read: ours until it is written. */
  char words[512];
};

static hb_rc answer(hb_h handle, hb_buf body, uint32_t flags) {
  static const hb_header headers[] = {HB_HEADER_INIT("content-type", "text/plain; charset=utf-8")};
  const hb_response response = {.size = sizeof response, .flags = flags, .status = 200, .n_headers = 1, .headers = headers, .body = body};
  const hb_rc rc = host->respond(handle, &response);
  return rc < 0 ? rc : HB_READY;
}

static hb_rc answer_at_once(hb_h handle, const hb_request *request) {
  const size_t room = request->method.len + 16;
  char *text = malloc(room);
  if (!text)
    return HB_ERR;
  const int length = snprintf(text, room, "%.*s at once\n", (int)request->method.len, (const char *)request->method.ptr);
  return answer(handle, (hb_buf){(const uint8_t *)text, (size_t)length, text, free}, 0);
}

static hb_rc answer_later(struct call *call, hb_h handle) {
  static const char text[] = "later\n";
  if (rests(handle, &call->due))
    return HB_PENDING;
  return answer(handle, (hb_buf){(const uint8_t *)text, sizeof text - 1, NULL, NULL}, HB_RESP_COPY);
}

/* Takes the next piece, or the next step where there is none. */
static hb_rc read_piece(struct call *call, hb_h handle) {
  const hb_rc rc = host->read(handle, &call->piece);
  if (rc == HB_READY)
    call->length += call->piece.len;
  if (rc == HB_READY || rc == HB_EOF)
    call->step = rc == HB_READY ? WRITE : call->upgraded ? END : WORDS;
  return rc == HB_EOF ? HB_READY : rc;
}

static hb_rc write_piece(struct call *call, hb_h handle) {
  const hb_rc rc = host->write(handle, &call->piece, 0);
  if (rc != HB_READY)
    return rc == HB_EOF ? HB_GONE : rc;
  call->piece.release = NULL;
  call->step = READ;
  return HB_READY;
}

static hb_rc write_words(struct call *call, hb_h handle) {
  hb_str peer = hb_str_of(NULL, 0), id = peer, trace = peer;
  const hb_header *trailers = NULL;
  uint32_t count = 0;
  host->trailers(handle, &trailers, &count);
  host->info(handle, HB_INFO_PEER, &peer);
  host->info(handle, HB_INFO_REQUEST_ID, &id);
  host->info(handle, HB_INFO_TRACEPARENT, &trace);
  const hb_str first = count ? trailers[0].value : peer;
  const int length = snprintf(call->words, sizeof call->words, "read %zu, trailer %.*s, peer %s, id %s, trace %s, config %.*s\n", call->length,
                              count ? (int)first.len : 4, count ? (const char *)first.ptr : "none", peer.len ? "yes" : "no", id.len ? "yes" : "no",
                              trace.len ? "yes" : "no", (int)call->instance->config_length, call->instance->config);
  const hb_buf words = {(const uint8_t *)call->words, (size_t)length < sizeof call->words ? (size_t)length : sizeof call->words - 1, NULL, NULL};
  const hb_rc rc = host->write(handle, &words, HB_WRITE_COPY);
  if (rc != HB_READY)
    return rc == HB_EOF ? HB_GONE : rc;
  if (call->instance->figures.metrics)
    call->instance->figures.metrics->observe(call->instance->figures.bytes, (double)call->length);
  call->step = END;
  return HB_READY;
}

static hb_rc end(struct call *call, hb_h handle) {
  const hb_header trailers[] = {HB_HEADER_INIT("x-abi", "1.0")};
  if (rests(handle, &call->due))
    return HB_PENDING;
  const hb_rc rc = host->finish(handle, call->upgraded ? NULL : trailers, call->upgraded ? 0 : 1);
  return rc < 0 ? rc : HB_READY;
}

static hb_rc poll(void *state, hb_h handle) {
  struct call *call = state;
  for (;;) {
    hb_rc rc = HB_ERR;
    switch (call->step) {
    case READ: rc = read_piece(call, handle); break;
    case WRITE: rc = write_piece(call, handle); break;
    case WORDS: rc = write_words(call, handle); break;
    case END: return end(call, handle);
    case LATER: return answer_later(call, handle);
    }
    if (rc == HB_GONE)
      host->abort(handle);
    if (rc != HB_READY)
      return rc;
  }
}

static void drop(void *state, int32_t why) {
  struct call *call = state;
  (void)why;
  if (call->piece.release)
    call->piece.release(call->piece.owner);
  free(call);
}

/* The head of an answer that goes on. */
static hb_rc begin(hb_h handle, const hb_request *request) {
  static const hb_header headers[] = {HB_HEADER_INIT("content-type", "application/octet-stream"), HB_HEADER_INIT("trailer", "x-abi")};
  const hb_header upgrade[] = {{HB_STR_INIT("upgrade"), request->protocol}};
  hb_response response = {.size = sizeof response, .flags = HB_RESP_STREAM | HB_RESP_COPY, .status = 200, .n_headers = 2, .headers = headers,
                          .body = {request->body.ptr, request->body.len, NULL, NULL}};
  if (request->flags & HB_REQ_UPGRADE_OK) {
    response.flags = HB_RESP_UPGRADE | HB_RESP_COPY;
    response.status = 101;
    response.n_headers = 1;
    response.headers = upgrade;
    response.body.len = 0;
  }
  return host->respond(handle, &response);
}

static hb_rc start(void *state, hb_h handle, const hb_request *request, void **out) {
  struct instance *instance = state;
  if (request->flags >> 16) {
    host->fail(handle, HB_STR("the host asks for what this module does not know"));
    return HB_UNSUPPORTED;
  }
  if (instance->figures.metrics)
    instance->figures.metrics->add(instance->figures.calls, 1);
  const hb_str what = request->n_params ? request->params[0].value : request->path;
  if (text_is(what, "start"))
    return answer_at_once(handle, request);
  struct call *call = calloc(1, sizeof *call);
  if (!call)
    return HB_ERR;
  call->instance = instance;
  *out = call;
  if (text_is(what, "later")) {
    call->step = LATER;
    host->wake(handle);
    return HB_PENDING;
  }
  call->upgraded = (request->flags & HB_REQ_UPGRADE_OK) != 0;
  call->length = request->body.len;
  hb_rc rc = begin(handle, request);
  if (rc == HB_EOF) /* The client wants no body: the answer is complete. */
    rc = HB_READY;
  else if (rc >= 0)
    rc = poll(call, handle);
  if (rc != HB_PENDING)
    drop(call, HB_DROP_DONE); /* The host will not: the call is over. */
  return rc;
}

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
  host = given;
  return given->size < sizeof *host ? NULL : &module;
}
