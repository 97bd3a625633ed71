/* Modules that break one rule each, in how they answer. */
#include "kit.h"

static hb_rc start_twice(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_rc rc = say(call, "the first answer\n");
  say(call, "the second answer\n");
  return rc;
}
BEHAVIOUR responds_twice = {.start = start_twice};

static hb_rc start_silent(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)call, (void)request, (void)state;
  return HB_READY;
}
BEHAVIOUR ready_without_answer = {.start = start_silent};

static hb_rc start_unfinished(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_rc rc = begin(call, "a piece\n", 0, NULL, 0);
  return rc < 0 ? rc : HB_READY;
}
BEHAVIOUR ready_with_unfinished_stream = {.start = start_unfinished};

static hb_rc start_pending(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)call, (void)request;
  *state = NULL;
  return HB_PENDING;
}
static hb_rc poll_pending(void *state, hb_h call) {
  (void)state, (void)call;
  return HB_PENDING;
}
BEHAVIOUR never_woken = {.start = start_pending, .poll = poll_pending};

static hb_rc start_unknown(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)call, (void)request, (void)state;
  return 77;
}
BEHAVIOUR unknown_code = {.start = start_unknown};

static hb_rc start_wakes(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  *state = NULL;
  host->wake(call);
  return HB_PENDING;
}
static hb_rc poll_unknown(void *state, hb_h call) {
  (void)state, (void)call;
  return 77;
}
BEHAVIOUR unknown_code_from_poll = {.start = start_wakes, .poll = poll_unknown};

/* It thinks that a poll comes only after its own wake. */
static hb_rc start_reads_once(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance;
  *state = NULL;
  if (request->flags & HB_REQ_BODY_INLINE)
    return say(call, "inline\n");
  hb_buf piece;
  const hb_rc rc = host->read(call, &piece);
  if (rc == HB_READY)
    piece.release(piece.owner);
  return rc == HB_PENDING ? HB_PENDING : say(call, "read\n");
}
static hb_rc poll_believes(void *state, hb_h call) {
  (void)state;
  hb_buf piece;
  const hb_rc rc = host->read(call, &piece);
  if (rc == HB_READY)
    piece.release(piece.owner);
  return rc == HB_PENDING ? HB_READY : say(call, "read\n");
}
BEHAVIOUR trusts_wakes = {.start = start_reads_once, .poll = poll_believes};

static void drop_answers(void *state, int32_t why) {
  (void)why;
  say((hb_h)(uintptr_t)state, "too late\n");
}
static hb_rc start_keeps_handle(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  *state = (void *)(uintptr_t)call;
  host->wake(call);
  return HB_PENDING;
}
static hb_rc poll_says(void *state, hb_h call) {
  (void)state;
  return say(call, "in time\n");
}
BEHAVIOUR responds_in_drop = {.start = start_keeps_handle, .poll = poll_says, .drop = drop_answers};

static hb_rc start_foreign(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  say(call + 0x100000, "to nobody\n");
  return say(call, "to somebody\n");
}
BEHAVIOUR foreign_handle = {.start = start_foreign};

static hb_rc start_narrow(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  *state = NULL;
  host->wake((uint32_t)call);
  return say(call, "awake\n");
}
BEHAVIOUR cuts_handles_short = {.start = start_narrow};

/* --- views and pieces --- */

static const hb_request *last;
static hb_rc start_looks_back(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)state;
  char text[32] = "none\n";
  if (last)
    snprintf(text, sizeof text, "before: %d\n", (int)last->path.len);
  last = request;
  return say(call, text);
}
BEHAVIOUR uses_view_too_late = {.start = start_looks_back};

static hb_str kept;
static hb_rc create_keeps_view(const hb_config *config, hb_h self, void **instance) {
  (void)self;
  kept = config->config_json;
  *instance = NULL;
  return HB_READY;
}
static hb_rc start_uses_config(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  char text[8];
  snprintf(text, sizeof text, "%.*s", (int)kept.len, (const char *)kept.ptr);
  return say(call, text);
}
BEHAVIOUR uses_config_too_late = {.create = create_keeps_view, .start = start_uses_config};

static hb_rc start_writes(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)state;
  ((uint8_t *)(uintptr_t)request->path.ptr)[0] = '\\';
  return say(call, "written\n");
}
BEHAVIOUR writes_to_view = {.start = start_writes};

static hb_rc start_lends_view(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)state;
  const hb_response response = {.size = sizeof response, .status = 200, .body = {request->path.ptr, request->path.len, NULL, NULL}};
  return host->respond(call, &response) < 0 ? HB_ERR : HB_READY;
}
BEHAVIOUR view_as_body = {.start = start_lends_view};

static hb_rc start_changes(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  static uint8_t text[] = "before\n";
  memcpy(text, "before", 6);
  const hb_response response = {.size = sizeof response, .status = 200, .body = {text, sizeof text - 1, NULL, NULL}};
  const hb_rc rc = host->respond(call, &response);
  memcpy(text, "after!", 6);
  return rc < 0 ? rc : HB_READY;
}
BEHAVIOUR changes_its_body = {.start = start_changes};

/* Reads to the end and does with each piece what a case wants. */
static hb_rc read_all(hb_h call, void (*with)(hb_buf *)) {
  for (;;) {
    hb_buf piece;
    const hb_rc rc = host->read(call, &piece);
    if (rc == HB_READY)
      with(&piece);
    else if (rc == HB_PENDING || rc == HB_GONE)
      return rc;
    else
      return say(call, "read\n");
  }
}
static void release_twice(hb_buf *piece) {
  piece->release(piece->owner);
  piece->release(piece->owner);
}
static void release_never(hb_buf *piece) { (void)piece; }
__attribute__((unused)) static volatile uint8_t seen;
static void release_early(hb_buf *piece) {
  piece->release(piece->owner);
  seen = piece->ptr[0];
}
#define READER(name, with)                                                                        \
  static hb_rc poll_##name(void *state, hb_h call) {                                              \
    (void)state;                                                                                  \
    return read_all(call, with);                                                                  \
  }                                                                                               \
  static hb_rc start_##name(void *instance, hb_h call, const hb_request *request, void **state) { \
    (void)instance, (void)request;                                                                \
    *state = NULL;                                                                                \
    return read_all(call, with);                                                                  \
  }                                                                                               \
  BEHAVIOUR name = {.start = start_##name, .poll = poll_##name}
READER(releases_twice, release_twice);
READER(never_releases, release_never);
READER(uses_piece_too_late, release_early);

/* --- answers that a host refuses --- */

static hb_rc answer_with(hb_h call, uint16_t status, uint32_t flags, const hb_header *headers, uint32_t n_headers) {
  const hb_response response = {.size = sizeof response, .status = status, .flags = flags, .n_headers = n_headers, .headers = headers,
                                .body = {(const uint8_t *)"body", 4, NULL, NULL}};
  const hb_rc rc = host->respond(call, &response);
  char text[32];
  snprintf(text, sizeof text, "refused %d\n", (int)rc);
  return rc < 0 ? say(call, text) : HB_READY; /* What was refused leaves the call unanswered. */
}
#define ANSWER(name, status, flags, headers, n_headers)                                           \
  static hb_rc start_##name(void *instance, hb_h call, const hb_request *request, void **state) { \
    (void)instance, (void)request, (void)state;                                                   \
    return answer_with(call, status, flags, headers, n_headers);                                  \
  }                                                                                               \
  BEHAVIOUR name = {.start = start_##name}
static const hb_header with_newline[] = {HB_HEADER_INIT("x-a", "b\r\nx-injected: 1")};
static const hb_header with_name[] = {HB_HEADER_INIT("x a:", "b")};
static const hb_header with_length[] = {HB_HEADER_INIT("content-length", "400")};
static const hb_header many[300] = {HB_HEADER_INIT("x", "y")};
ANSWER(header_with_newline, 200, 0, with_newline, 1);
ANSWER(header_with_bad_name, 200, 0, with_name, 1);
ANSWER(headers_at_null, 200, 0, NULL, 1);
ANSWER(too_many_headers, 200, 0, many, 300);
ANSWER(false_length, 200, 0, with_length, 1);
ANSWER(status_99, 99, 0, NULL, 0);
ANSWER(status_600, 600, 0, NULL, 0);
ANSWER(status_101, 101, 0, NULL, 0);
ANSWER(upgrade_without_offer, 101, HB_RESP_UPGRADE, NULL, 0);
ANSWER(unknown_flag, 200, 0x10000u, NULL, 0);

static hb_rc start_short(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  hb_response response = {.size = 12, .status = 200};
  return host->respond(call, &response) < 0 ? say(call, "refused\n") : HB_READY;
}
BEHAVIOUR short_response = {.start = start_short};

/* --- streams out of order --- */

static const hb_buf piece = {(const uint8_t *)"piece\n", 6, NULL, NULL};

static hb_rc start_eager(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  host->write(call, &piece, 0);
  return say(call, "answered\n");
}
BEHAVIOUR writes_before_respond = {.start = start_eager};

static hb_rc finished(hb_h call, const hb_header *headers, uint32_t n_headers) {
  const hb_rc rc = begin(call, "head\n", 0, headers, n_headers);
  if (rc != HB_READY)
    return rc < 0 ? rc : HB_READY;
  const hb_rc done = host->finish(call, NULL, 0);
  return done < 0 ? done : HB_READY;
}
static hb_rc start_goes_on(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_rc rc = finished(call, NULL, 0);
  host->write(call, &piece, 0);
  return rc;
}
BEHAVIOUR writes_after_finish = {.start = start_goes_on};
static hb_rc start_finishes_twice(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_rc rc = finished(call, NULL, 0);
  host->finish(call, NULL, 0);
  return rc;
}
BEHAVIOUR finishes_twice = {.start = start_finishes_twice};
static hb_rc start_falls_short(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  return finished(call, with_length, 1);
}
BEHAVIOUR stream_short_of_its_length = {.start = start_falls_short};
static const hb_header with_small[] = {HB_HEADER_INIT("content-length", "7")};
static hb_rc start_goes_beyond(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_rc rc = begin(call, "head\n", 0, with_small, 1);
  if (rc != HB_READY)
    return rc < 0 ? rc : HB_READY;
  return host->write(call, &piece, 0) < 0 ? HB_ERR : HB_READY;
}
BEHAVIOUR stream_beyond_its_length = {.start = start_goes_beyond};

/* --- looks at no flag --- */

static const hb_module *entry_ignores_flags(void) {
  static hb_module table;
  static const struct behaviour usual = {0};
  table = usual_table(&usual);
  table.start = usual_start;
  return &table;
}
BEHAVIOUR ignores_what_must_be_understood = {.entry = entry_ignores_flags};

/* --- takes the process or the thread --- */

static hb_rc start_hangs(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)call, (void)request, (void)state;
  while (pause() != 0)
    continue;
  return HB_ERR;
}
BEHAVIOUR hangs = {.start = start_hangs};
static hb_rc start_crashes(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)call, (void)request, (void)state;
  *(volatile int *)8 = 1;
  return HB_READY;
}
BEHAVIOUR crashes = {.start = start_crashes};
static hb_rc start_exits(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)call, (void)request, (void)state;
  exit(0);
}
BEHAVIOUR exits = {.start = start_exits};

ENTRY
