/* What streams can do, right and wrong, for tests of the host: each handler does one thing, and /told says what the module saw of it.
 * /next lets whoever waits go on, so that a test decides when. */
#include "hotbay.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HB_MODULE_NOTES(HB_JSON({"manifest": 1, "name": "streams", "version": "1.0", "sdk": "c", "handlers": [
  {"name": "down", "methods": ["GET"], "path": "/down/{bytes}"},
  {"name": "up", "methods": ["POST"], "path": "/up"},
  {"name": "echo", "methods": ["POST"], "path": "/echo"},
  {"name": "events", "methods": ["GET"], "path": "/events"},
  {"name": "sum", "methods": ["GET"], "path": "/sum"},
  {"name": "talk", "methods": ["GET"], "path": "/talk"},
  {"name": "hear", "methods": ["GET"], "path": "/hear"},
  {"name": "idle", "methods": ["GET"], "path": "/idle"},
  {"name": "break", "methods": ["GET"], "path": "/break/{how}"},
  {"name": "refused", "methods": ["GET"], "path": "/refused/{what}"},
  {"name": "late", "methods": ["GET"], "path": "/late"},
  {"name": "next", "methods": ["POST"], "path": "/next"},
  {"name": "told", "methods": ["GET"], "path": "/told"}
]}));

enum { DOWN, UP, ECHO, EVENTS, SUM, TALK, HEAR, IDLE, BREAK, REFUSED, LATE, NEXT, TOLD, HANDLERS };
#define PIECE (64u * 1024u)

typedef struct {
  uint32_t handler;
  int begun, finished;
  uint64_t bytes, seen;
  char how[32];
  hb_buf held; /* Read, and not taken by write yet. */
} call_state;

static const hb_host *host;
static uint8_t zeros[PIECE];
static _Atomic uint64_t waiting;  /* Whom /next wakes. */
static _Atomic int steps, starts, drops, last_why = -1, late_rc = 99, final_rc = 99, heard;

static hb_rc say(hb_h call, uint16_t status, const char *text) {
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = status};
  response.body.ptr = (const uint8_t *)text;
  response.body.len = strlen(text);
  return host->respond(call, &response);
}

static hb_rc begin(hb_h call, uint32_t flags, const hb_header *headers, uint32_t count, const char *first) {
  hb_response response = {.size = sizeof response, .flags = HB_RESP_STREAM | HB_RESP_COPY | flags, .status = 200};
  if (flags & HB_RESP_UPGRADE)
    response.status = 101;
  response.headers = headers;
  response.n_headers = count;
  response.body.ptr = (const uint8_t *)first;
  response.body.len = strlen(first);
  return host->respond(call, &response);
}

static hb_rc put(hb_h call, const char *text) {
  hb_buf piece = {(const uint8_t *)text, strlen(text), NULL, NULL};
  return host->write(call, &piece, HB_WRITE_COPY);
}

/* Whether /next has come since `seen`; otherwise it will wake this call. */
static int stepped(call_state *state, hb_h call) {
  atomic_store(&waiting, call);
  if (atomic_load(&steps) == (int)state->seen)
    return 0;
  state->seen++;
  return 1;
}

static hb_rc down(call_state *state, hb_h call) {
  if (!state->begun++ && begin(call, 0, NULL, 0, "") != HB_READY)
    return HB_ERR;
  while (state->bytes > 0) {
    hb_buf piece = {zeros, state->bytes < PIECE ? (size_t)state->bytes : PIECE, NULL, NULL};
    hb_rc rc = host->write(call, &piece, 0);
    if (rc != HB_READY)
      return rc;
    state->bytes -= piece.len;
  }
  return host->finish(call, NULL, 0);
}

static hb_rc up(call_state *state, hb_h call) {
  char text[256];
  const hb_header *trailers;
  uint32_t count;
  for (;;) {
    hb_buf piece;
    hb_rc rc = host->read(call, &piece);
    if (rc == HB_EOF)
      break;
    if (rc != HB_READY)
      return rc;
    state->bytes += piece.len;
    piece.release(piece.owner);
  }
  if (host->trailers(call, &trailers, &count) != HB_READY)
    return HB_ERR;
  int length = snprintf(text, sizeof text, "%llu", (unsigned long long)state->bytes);
  for (uint32_t i = 0; i < count; i++)
    length += snprintf(text + length, sizeof text - (size_t)length, " %.*s=%.*s", (int)trailers[i].name.len,
                       (const char *)trailers[i].name.ptr, (int)trailers[i].value.len, (const char *)trailers[i].value.ptr);
  return say(call, 200, text);
}

/* What comes goes back, piece by piece: /echo in bodies, /talk as another protocol. */
static hb_rc echo(call_state *state, hb_h call) {
  static const hb_header hello = HB_HEADER_INIT("x-hello", "there");
  if (!state->begun++ && begin(call, state->handler == TALK ? HB_RESP_UPGRADE : 0, &hello, 1, "") != HB_READY)
    return say(call, 426, "upgrade");
  for (;;) {
    hb_rc rc = HB_READY;
    if (!state->held.ptr)
      rc = host->read(call, &state->held);
    if (rc == HB_EOF) {
      /* They have ended, and we have the last word. */
      rc = state->handler == TALK ? put(call, "bye") : HB_READY;
      return rc == HB_READY ? host->finish(call, NULL, 0) : rc;
    }
    if (rc == HB_READY && state->held.len == 3 && !memcmp(state->held.ptr, "cut", 3))
      return host->abort(call) == HB_READY ? HB_PENDING : HB_ERR;
    if (rc == HB_READY)
      rc = host->write(call, &state->held, 0);
    if (rc != HB_READY)
      return rc;
    state->held.ptr = NULL;
  }
}

/* Another protocol, in which we have nothing to say, and end our side at once; theirs is read to its end. */
static hb_rc hear(call_state *state, hb_h call) {
  if (!state->begun++ && (begin(call, HB_RESP_UPGRADE, NULL, 0, "") != HB_READY || host->finish(call, NULL, 0) != HB_READY))
    return HB_ERR;
  for (;;) {
    hb_buf piece;
    hb_rc rc = host->read(call, &piece);
    if (rc != HB_READY)
      return rc == HB_EOF ? HB_READY : rc;
    atomic_fetch_add(&heard, (int)piece.len);
    piece.release(piece.owner);
  }
}

/* Another protocol, of which nothing is read, nor anything said. */
static hb_rc idle(call_state *state, hb_h call) {
  return state->begun++ || begin(call, HB_RESP_UPGRADE, NULL, 0, "") == HB_READY ? HB_PENDING : HB_ERR;
}

static hb_rc events(call_state *state, hb_h call) {
  static const hb_header type = HB_HEADER_INIT("content-type", "text/event-stream");
  char text[64];
  if (!state->begun++ && begin(call, 0, &type, 1, "data: 0\n\n") != HB_READY)
    return HB_ERR;
  while (stepped(state, call)) {
    snprintf(text, sizeof text, "data: %llu\n\n", (unsigned long long)++state->bytes);
    hb_rc rc = put(call, text);
    if (rc != HB_READY)
      return rc;
  }
  return HB_PENDING;
}

static hb_rc sum(hb_h call) {
  static const hb_header announced = HB_HEADER_INIT("trailer", "x-sum");
  static const hb_header trailers[] = {HB_HEADER_INIT("x-sum", "3"), HB_HEADER_INIT("content-length", "9")};
  if (begin(call, 0, &announced, 1, "one") != HB_READY)
    return HB_ERR;
  return host->finish(call, trailers, 2);
}

/* A head and a piece are out; then comes /next, and then what is wrong. */
static hb_rc break_off(call_state *state, hb_h call) {
  static const hb_header five = HB_HEADER_INIT("content-length", "5");
  const int promised = !strcmp(state->how, "short") || !strcmp(state->how, "long");
  if (!state->begun++ && begin(call, 0, &five, promised ? 1 : 0, "one") != HB_READY)
    return HB_ERR;
  if (!stepped(state, call))
    return HB_PENDING;
  if (!strcmp(state->how, "panic")) {
    host->fail(call, HB_STR("it was told to"));
    return HB_PANIC;
  }
  if (!strcmp(state->how, "abort")) {
    host->abort(call);
    return HB_PENDING;
  }
  if (!strcmp(state->how, "short"))
    atomic_store(&final_rc, host->finish(call, NULL, 0));
  if (!strcmp(state->how, "long"))
    atomic_store(&final_rc, put(call, "three"));
  return HB_READY;
}

/* What a module must not say: the host's answer is the body. */
static hb_rc refused(hb_h call, const char *what) {
  static const hb_header names = HB_HEADER_INIT("x-a\r\nx-b", "c"), values = HB_HEADER_INIT("x-a", "b\r\nx-c: d");
  static const hb_header lengths[] = {HB_HEADER_INIT("content-length", "1"), HB_HEADER_INIT("content-length", "1")};
  static const hb_header words = HB_HEADER_INIT("content-length", "+1"), two = HB_HEADER_INIT("content-length", "2");
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = 200, .n_headers = 1, .headers = &names};
  char text[32];
  hb_rc rc;
  response.body.ptr = (const uint8_t *)"1";
  response.body.len = 1;
  if (!strcmp(what, "trailer-value")) {
    if (begin(call, 0, NULL, 0, "") != HB_READY)
      return HB_ERR;
    snprintf(text, sizeof text, "%d", host->finish(call, &values, 1));
    put(call, text);
    return host->finish(call, NULL, 0);
  }
  if (!strcmp(what, "value"))
    response.headers = &values;
  if (!strcmp(what, "two-lengths"))
    response.headers = lengths, response.n_headers = 2;
  if (!strcmp(what, "no-length"))
    response.headers = &words;
  if (!strcmp(what, "false-length"))
    response.headers = &two;
  if (!strcmp(what, "first-too-long"))
    response.headers = &two, response.body.len = 3, response.body.ptr = (const uint8_t *)"123", response.flags |= HB_RESP_STREAM;
  if (!strcmp(what, "upgrade"))
    response.n_headers = 0, response.status = 101, response.flags |= HB_RESP_UPGRADE;
  rc = host->respond(call, &response);
  snprintf(text, sizeof text, "%d", rc);
  return rc >= 0 ? rc : say(call, 200, text);
}

static hb_rc told(hb_h call) {
  char text[128];
  const int begun = atomic_load(&starts), over = atomic_load(&drops);
  snprintf(text, sizeof text, "alive %d why %d late %d final %d heard %d", begun - over, atomic_load(&last_why), atomic_load(&late_rc),
           atomic_load(&final_rc), atomic_load(&heard));
  return say(call, 200, text);
}

static hb_rc next(hb_h call) {
  const uint64_t who = atomic_load(&waiting);
  atomic_fetch_add(&steps, 1);
  host->wake(who);
  /* If it is gone, its answer comes too late: nobody is there any more. */
  if (atomic_load(&last_why) >= 0 && atomic_load(&starts) == atomic_load(&drops)) {
    hb_rc late = say(who, 200, "late");
    if (late == HB_GONE && put(who, "late") == HB_GONE && host->finish(who, NULL, 0) == HB_GONE && host->abort(who) == HB_GONE)
      atomic_store(&late_rc, HB_GONE);
  }
  return say(call, 200, "");
}

static hb_rc poll(void *pointer, hb_h call) {
  call_state *state = pointer;
  switch (state->handler) {
  case DOWN: return down(state, call);
  case UP: return up(state, call);
  case ECHO: case TALK: return echo(state, call);
  case HEAR: return hear(state, call);
  case IDLE: return idle(state, call);
  case EVENTS: return events(state, call);
  case BREAK: return break_off(state, call);
  case LATE: stepped(state, call); return HB_PENDING;
  default: return HB_ERR;
  }
}

static void end(call_state *state) {
  if (state->held.ptr)
    state->held.release(state->held.owner);
  free(state);
}

static hb_rc start(void *instance, hb_h call, const hb_request *request, void **out) {
  (void)instance;
  char param[32] = "";
  if (request->n_params > 0)
    snprintf(param, sizeof param, "%.*s", (int)request->params[0].value.len, (const char *)request->params[0].value.ptr);
  switch (request->handler) {
  case SUM: return sum(call);
  case REFUSED: return refused(call, param);
  case NEXT: return next(call);
  case TOLD: return told(call);
  default: break;
  }
  call_state *state = calloc(1, sizeof *state);
  if (!state)
    return HB_ERR;
  state->handler = request->handler;
  state->bytes = request->handler == DOWN ? strtoull(param, NULL, 10) : 0;
  if (request->flags & HB_REQ_BODY_INLINE && request->handler == UP)
    state->bytes = request->body.len;
  state->seen = (uint64_t)atomic_load(&steps);
  snprintf(state->how, sizeof state->how, "%s", param);
  hb_rc rc = poll(state, call);
  if (rc != HB_PENDING) {
    end(state);
    return rc == HB_EOF ? HB_READY : rc;
  }
  atomic_fetch_add(&starts, 1);
  *out = state;
  return HB_PENDING;
}

static void drop(void *pointer, int32_t why) {
  end(pointer);
  if (why == 3)
    host->log(0, HB_LOG_WARN, HB_STR("streams"), HB_STR("dropped because the engine ends"), hb_str_of(NULL, 0));
  atomic_store(&last_why, why);
  atomic_fetch_add(&drops, 1);
}

static hb_rc create(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  *instance = NULL;
  return HB_READY;
}
static hb_rc settled(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_READY;
}
static void destroy(void *instance) { (void)instance; }

const hb_module *hotbay_module_v1(const hb_host *given) {
  static const hb_module module = {
      .size = sizeof module, .abi_minor = HB_ABI_MINOR, .flags = HB_MOD_PANIC_UNWIND, .n_handlers = HANDLERS,
      .create = create, .poll_instance = settled, .stop = settled, .destroy = destroy, .start = start, .poll = poll, .drop = drop};
  host = given;
  return &module;
}
