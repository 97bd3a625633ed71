/* Modules that keep the rules: each uses one part of the ABI. */
#include "kit.h"

/* --- answers in start --- */

BEHAVIOUR answers_at_once = {.start = usual_start};

/* As a static object of C++ may begin: dlopen holds the dynamic linker's lock meanwhile. */
#ifdef THREAD_IN_CONSTRUCTOR
static void *nothing(void *argument) { return argument; }
__attribute__((constructor)) static void join_a_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL) == 0)
    pthread_join(thread, NULL);
}
#endif
BEHAVIOUR joins_a_thread_as_it_is_loaded = {.start = usual_start};

static hb_rc start_static_body(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_response response = {.size = sizeof response, .status = 200, .body = {(const uint8_t *)"static\n", 7, NULL, NULL}};
  return host->respond(call, &response) < 0 ? HB_ERR : HB_READY;
}
BEHAVIOUR static_body = {.start = start_static_body};

/* Says how many of its bodies were released so far. */
static atomic_uint released;
static void release_counted(void *owner) {
  free(owner);
  atomic_fetch_add(&released, 1);
}
static hb_rc start_owned_body(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  char *text = malloc(32);
  if (!text)
    return HB_ERR;
  const int length = snprintf(text, 32, "released %u\n", atomic_load(&released));
  const hb_response response = {.size = sizeof response, .status = 200, .body = {(uint8_t *)text, (size_t)length, text, release_counted}};
  const hb_rc rc = host->respond(call, &response);
  return rc < 0 ? rc : HB_READY;
}
BEHAVIOUR owned_body = {.start = start_owned_body};

/* 204 has no body, and respond says so. */
static hb_rc start_no_content(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_response response = {.size = sizeof response, .status = 204};
  return host->respond(call, &response) < 0 ? HB_ERR : HB_READY;
}
BEHAVIOUR no_content = {.start = start_no_content};

static hb_rc start_fails(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  host->fail(call, HB_STR("the words of fails_with_words"));
  return HB_ERR;
}
BEHAVIOUR fails_with_words = {.start = start_fails};

/* As an SDK does whose language has panics. */
static hb_rc start_panics(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  host->fail(call, HB_STR("the words of panics"));
  return HB_PANIC;
}
BEHAVIOUR panics = {.start = start_panics};

static hb_rc start_aborts(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  return host->abort(call) < 0 ? HB_GONE : HB_READY;
}
BEHAVIOUR aborts = {.start = start_aborts};

static hb_rc start_logs(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  for (int32_t level = HB_LOG_ERROR; level <= HB_LOG_TRACE; level++)
    host->log(call, level, HB_STR("logs"), HB_STR("the message of logs"), HB_STR("{\"answer\":42}"));
  host->log(0, HB_LOG_INFO, hb_str_of(NULL, 0), HB_STR("without a call"), hb_str_of(NULL, 0));
  return say(call, "logged\n");
}
BEHAVIOUR logs = {.start = start_logs};

static hb_rc start_info(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  hb_str peer = HB_STR(""), id = HB_STR(""), nothing = HB_STR("");
  const hb_rc rc = host->info(call, HB_INFO_PEER, &peer);
  host->info(call, HB_INFO_REQUEST_ID, &id);
  if (rc == HB_GONE)
    return rc;
  char text[256];
  snprintf(text, sizeof text, "peer %.*s, id %s, unknown %d\n", (int)peer.len, (const char *)peer.ptr, id.len ? "yes" : "no",
           host->info(call, 4711, &nothing));
  return say(call, text);
}
BEHAVIOUR info = {.start = start_info};

/* There is no array where nothing is in it. */
static hb_rc start_looks_for_null(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)state;
  const int agree = !request->n_headers == !request->headers && !request->n_params == !request->params;
  return say(call, !agree ? "a count and its pointer differ\n" : request->params ? "parameters\n" : "no parameters\n");
}
BEHAVIOUR looks_for_null = {.start = start_looks_for_null};

static hb_rc start_metrics(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  const hb_metrics *metrics = host->extension(HB_METRICS_ID);
  if (!metrics || host->extension("hotbay.nothing/1"))
    return say(call, "none\n");
  const hb_header labels[] = {HB_HEADER_INIT("kind", "conformance")};
  uint64_t series = 0;
  if (metrics->register_series(call, HB_METRIC_COUNTER, HB_STR("conformance_calls_total"), HB_STR("Calls."), labels, 1, NULL, 0, &series) == HB_READY)
    metrics->add(series, 1);
  return say(call, "counted\n");
}
BEHAVIOUR metrics = {.start = start_metrics};

/* --- answers later --- */

struct waiting {
  hb_h call;
  pthread_t thread;
  atomic_int ready;
};

static void drop_waiting(void *state, int32_t why) {
  struct waiting *waiting = state;
  (void)why;
  pthread_join(waiting->thread, NULL);
  free(waiting);
}

/* Begins a thread for the call. */
static hb_rc with_thread(hb_h call, void **state, void *(*body)(void *)) {
  struct waiting *waiting = calloc(1, sizeof *waiting);
  if (!waiting)
    return HB_ERR;
  waiting->call = call;
  if (pthread_create(&waiting->thread, NULL, body, waiting) != 0) {
    free(waiting);
    return HB_ERR;
  }
  *state = waiting;
  return HB_PENDING;
}

static void *wake_later(void *state) {
  struct waiting *waiting = state;
  pause_ms(5);
  atomic_store(&waiting->ready, 1);
  host->wake(waiting->call);
  return NULL;
}
static hb_rc start_wakes(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  return with_thread(call, state, wake_later);
}
static hb_rc poll_wakes(void *state, hb_h call) {
  struct waiting *waiting = state;
  return atomic_load(&waiting->ready) ? say(call, "woken\n") : HB_PENDING;
}
BEHAVIOUR wakes = {.start = start_wakes, .poll = poll_wakes, .drop = drop_waiting};

static void *respond_later(void *state) {
  pause_ms(5);
  say(((struct waiting *)state)->call, "from a thread\n");
  return NULL;
}
static hb_rc start_responds_later(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  return with_thread(call, state, respond_later);
}
static hb_rc poll_waits(void *state, hb_h call) {
  (void)state, (void)call;
  return HB_PENDING;
}
BEHAVIOUR responds_from_a_thread = {.start = start_responds_later, .poll = poll_waits, .drop = drop_waiting};

static void *respond_now(void *call) {
  say(*(hb_h *)call, "before start returned\n");
  return NULL;
}
static hb_rc start_responds_before(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  pthread_t thread;
  if (pthread_create(&thread, NULL, respond_now, &call) != 0)
    return HB_ERR;
  pthread_join(thread, NULL);
  *state = NULL;
  return HB_PENDING; /* The call is over all the same: drop follows. */
}
BEHAVIOUR responds_before_start_returns = {.start = start_responds_before, .poll = poll_waits};

static hb_rc start_wakes_itself(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  *state = NULL;
  host->wake(call);
  return HB_PENDING;
}
static hb_rc poll_answers(void *state, hb_h call) {
  (void)state;
  return say(call, "polled\n");
}
BEHAVIOUR wakes_before_start_returns = {.start = start_wakes_itself, .poll = poll_answers};

struct alarmed {
  uint64_t at;
};
static hb_rc poll_timer(void *state, hb_h call) {
  const struct alarmed *alarmed = state;
  if (host->now_ns() >= alarmed->at)
    return say(call, "rung\n");
  return host->timer(call, alarmed->at) < 0 ? HB_GONE : HB_PENDING;
}
static hb_rc start_timer(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  struct alarmed *alarmed = malloc(sizeof *alarmed);
  if (!alarmed)
    return HB_ERR;
  alarmed->at = host->now_ns() + 20000000;
  const hb_rc rc = poll_timer(alarmed, call);
  if (rc == HB_PENDING)
    *state = alarmed;
  else
    free(alarmed);
  return rc;
}
static void drop_free(void *state, int32_t why) {
  (void)why;
  free(state);
}
BEHAVIOUR timer = {.start = start_timer, .poll = poll_timer, .drop = drop_free};

/* Waits if the query says so, and tells how such calls ended. An answer in drop is too late: it must do no harm. */
static atomic_uint drops[5], late;
static hb_rc start_counts(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance;
  if (request->query.len == 4 && memcmp(request->query.ptr, "wait", 4) == 0) {
    *state = (void *)(uintptr_t)call;
    host->log(call, HB_LOG_INFO, hb_str_of(NULL, 0), HB_STR("counts_drops waits"), hb_str_of(NULL, 0));
    return HB_PENDING;
  }
  char text[64];
  snprintf(text, sizeof text, "left %u, took too long %u, late answers %u\n", atomic_load(&drops[1]), atomic_load(&drops[2]), atomic_load(&late));
  return say(call, text);
}
static void drop_counts(void *state, int32_t why) {
  if (why >= 0 && why < 5)
    atomic_fetch_add(&drops[why], 1);
  if (say((hb_h)(uintptr_t)state, "too late\n") == HB_GONE)
    atomic_fetch_add(&late, 1);
}
BEHAVIOUR counts_drops = {.start = start_counts, .poll = poll_waits, .drop = drop_counts};

/* --- reads --- */

/* Reads to the end, then says how many bytes there were, and how many trailers. */
struct reading {
  size_t bytes;
};
static hb_rc poll_reads(void *state, hb_h call) {
  struct reading *reading = state;
  for (int turn = 0; turn < 64; turn++) {
    hb_buf piece;
    const hb_rc rc = host->read(call, &piece);
    if (rc == HB_PENDING || rc == HB_GONE)
      return rc;
    if (rc == HB_EOF) {
      const hb_header *trailers = NULL;
      uint32_t n_trailers = 0;
      char text[64];
      host->trailers(call, &trailers, &n_trailers);
      snprintf(text, sizeof text, "read %zu, %u trailers\n", reading->bytes, n_trailers);
      return say(call, text);
    }
    if (rc != HB_READY) {
      static const char words[] = "too large\n";
      const hb_response response = {.size = sizeof response, .status = 413, .body = {(const uint8_t *)words, sizeof words - 1, NULL, NULL}};
      return host->respond(call, &response) < 0 ? HB_GONE : HB_READY;
    }
    reading->bytes += piece.len;
    piece.release(piece.owner);
  }
  host->wake(call); /* Other calls have their turn. */
  return HB_PENDING;
}
static hb_rc start_reads(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance;
  struct reading *reading = calloc(1, sizeof *reading);
  if (!reading)
    return HB_ERR;
  reading->bytes = request->flags & HB_REQ_BODY_INLINE ? request->body.len : 0;
  const hb_rc rc = poll_reads(reading, call);
  if (rc == HB_PENDING)
    *state = reading;
  else
    free(reading);
  return rc;
}
BEHAVIOUR reads_all = {.start = start_reads, .poll = poll_reads, .drop = drop_free};

/* --- streams --- */

/* `pieces` pieces of 16 KiB, then the end. `kind` says how. */
enum kind { PLAIN, COPIES, WITH_TRAILERS, ABORTS, LENGTH };
struct streaming {
  enum kind kind;
  int pieces, written;
};
#define PIECE (16 * 1024)

static hb_rc write_piece(struct streaming *streaming, hb_h call) {
  static uint8_t shared[PIECE];
  if (streaming->kind == COPIES) {
    const hb_buf piece = {shared, PIECE, NULL, NULL};
    return host->write(call, &piece, HB_WRITE_COPY);
  }
  uint8_t *bytes = calloc(1, PIECE);
  if (!bytes)
    return HB_ERR;
  const hb_buf piece = {bytes, PIECE, bytes, free};
  const hb_rc rc = host->write(call, &piece, 0);
  if (rc != HB_READY)
    free(bytes); /* Not taken. */
  return rc;
}
static hb_rc poll_streams(void *state, hb_h call) {
  static const hb_header trailers[] = {HB_HEADER_INIT("x-trailer", "last")};
  struct streaming *streaming = state;
  while (streaming->written < streaming->pieces) {
    const hb_rc rc = write_piece(streaming, call);
    if (rc == HB_EOF)
      return HB_READY;
    if (rc != HB_READY)
      return rc;
    streaming->written++;
    if (streaming->kind == ABORTS && streaming->written == 2)
      return host->abort(call) < 0 ? HB_GONE : HB_READY;
  }
  const hb_rc rc = host->finish(call, trailers, streaming->kind == WITH_TRAILERS);
  return rc < 0 ? rc : HB_READY;
}
static hb_rc start_stream_of(enum kind kind, int pieces, hb_h call, void **state) {
  static const hb_header length[] = {HB_HEADER_INIT("content-length", "65541")};
  static const hb_header announced[] = {HB_HEADER_INIT("trailer", "x-trailer")};
  const hb_rc rc = begin(call, "head\n", 0, kind == LENGTH ? length : announced, kind == LENGTH || kind == WITH_TRAILERS);
  if (rc != HB_READY)
    return rc == HB_EOF ? HB_READY : rc;
  struct streaming *streaming = calloc(1, sizeof *streaming);
  if (!streaming)
    return HB_ERR;
  streaming->kind = kind;
  streaming->pieces = pieces;
  const hb_rc written = poll_streams(streaming, call);
  if (written == HB_PENDING)
    *state = streaming;
  else
    free(streaming);
  return written;
}
#define STREAM(name, kind, pieces)                                                                              \
  static hb_rc start_##name(void *instance, hb_h call, const hb_request *request, void **state) {               \
    (void)instance, (void)request;                                                                              \
    return start_stream_of(kind, pieces, call, state);                                                          \
  }                                                                                                             \
  BEHAVIOUR name = {.start = start_##name, .poll = poll_streams, .drop = drop_free}
STREAM(streams, PLAIN, 4);
STREAM(streams_much, PLAIN, 128);
STREAM(streams_copies, COPIES, 4);
STREAM(streams_trailers, WITH_TRAILERS, 4);
STREAM(streams_length, LENGTH, 4);
STREAM(aborts_in_mid_stream, ABORTS, 4);

/* It begins well. */
static hb_rc start_panics_later(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request;
  const hb_rc rc = begin(call, "head\n", 0, NULL, 0);
  if (rc != HB_READY)
    return rc == HB_EOF ? HB_READY : rc;
  *state = NULL;
  host->wake(call);
  return HB_PENDING;
}
static hb_rc poll_panics(void *state, hb_h call) {
  (void)state;
  host->fail(call, HB_STR("the words of panics_in_mid_stream"));
  return HB_PANIC;
}
BEHAVIOUR panics_in_mid_stream = {.start = start_panics_later, .poll = poll_panics};

/* --- leaves HTTP --- */

struct echoing {
  hb_buf held; /* Read and not written yet. */
  int upgraded;
};
static hb_rc poll_echoes(void *state, hb_h call) {
  struct echoing *echoing = state;
  for (int turn = 0; turn < 64; turn++) {
    if (!echoing->held.ptr) {
      const hb_rc rc = host->read(call, &echoing->held);
      if (rc == HB_EOF) {
        const hb_rc done = host->finish(call, NULL, 0);
        return done < 0 ? done : HB_READY;
      }
      if (rc != HB_READY)
        return rc;
    }
    const hb_rc rc = host->write(call, &echoing->held, 0);
    if (rc != HB_READY)
      return rc == HB_EOF ? HB_READY : rc;
    echoing->held.ptr = NULL; /* Taken: the host releases it. */
  }
  host->wake(call);
  return HB_PENDING;
}
static void drop_echoes(void *state, int32_t why) {
  struct echoing *echoing = state;
  (void)why;
  if (echoing->held.ptr)
    echoing->held.release(echoing->held.owner);
  free(echoing);
}
static hb_rc start_echoes(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance;
  if (!(request->flags & HB_REQ_UPGRADE_OK))
    return say(call, "no upgrade was offered\n");
  const hb_header headers[] = {{HB_STR_INIT("upgrade"), request->protocol}};
  const hb_response response = {.size = sizeof response, .flags = HB_RESP_UPGRADE, .status = 101, .n_headers = 1, .headers = headers};
  const hb_rc rc = host->respond(call, &response);
  if (rc != HB_READY)
    return rc < 0 ? rc : HB_READY;
  struct echoing *echoing = calloc(1, sizeof *echoing);
  if (!echoing)
    return HB_ERR;
  *state = echoing;
  host->wake(call);
  return HB_PENDING;
}
BEHAVIOUR upgrade_echoes = {.start = start_echoes, .poll = poll_echoes, .drop = drop_echoes};

/* Does not keep them: it answers again and again, which must cost it nothing but words. */
static hb_rc poll_upgrades(void *state, hb_h call) {
  const hb_response again = {.size = sizeof again, .flags = HB_RESP_UPGRADE, .status = 101};
  return host->respond(call, &again) == HB_GONE ? poll_echoes(state, call) : HB_ERR;
}
BEHAVIOUR upgrades_again = {.start = start_echoes, .poll = poll_upgrades, .drop = drop_echoes};

/* --- instances --- */

struct configured {
  size_t length;
  char text[];
};
static hb_rc create_keeps_config(const hb_config *config, hb_h self, void **instance) {
  (void)self;
  struct configured *made = malloc(sizeof *made + config->config_json.len + 1);
  if (!made)
    return HB_ERR;
  made->length = config->config_json.len;
  memcpy(made->text, config->config_json.ptr, made->length);
  made->text[made->length] = 0;
  *instance = made;
  return HB_READY;
}
static hb_rc start_tells_config(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)request, (void)state;
  return say(call, ((struct configured *)instance)->text);
}
BEHAVIOUR keeps_config = {.create = create_keeps_config, .start = start_tells_config, .destroy = free};

/* If the config asks for it, computes for a quarter of a second first: that is quick, where it is let run. */
static int64_t burnt_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}
static hb_rc create_computing(const hb_config *config, hb_h self, void **instance) {
  const int64_t until = burnt_ns() + 250000000;
  if (memmem(config->config_json.ptr, config->config_json.len, "compute", 7))
    while (burnt_ns() < until)
      continue;
  return usual_create(config, self, instance);
}
BEHAVIOUR create_computes = {.create = create_computing};

/* Ready after three wakes of its own. */
static hb_rc create_pending(const hb_config *config, hb_h self, void **instance) {
  (void)config;
  int *polls = calloc(1, sizeof *polls);
  if (!polls)
    return HB_ERR;
  *instance = polls;
  host->wake(self);
  return HB_PENDING;
}
static hb_rc poll_thrice(void *instance, hb_h self) {
  int *polls = instance;
  if (++*polls % 3 == 0)
    return HB_READY;
  host->wake(self);
  return HB_PENDING;
}
BEHAVIOUR create_takes_polls = {.create = create_pending, .poll_instance = poll_thrice, .destroy = free};
static hb_rc stop_pending(void *instance, hb_h self) {
  (void)instance;
  host->wake(self);
  return HB_PENDING;
}
BEHAVIOUR stop_takes_polls = {.create = create_pending, .poll_instance = poll_thrice, .stop = stop_pending, .destroy = free};

/* Whatever stop answers, destroy follows: what stop would have freed is freed there. */
static hb_rc create_holds(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  *instance = malloc(1);
  return *instance ? HB_READY : HB_ERR;
}
static hb_rc stop_panicked(void *instance, hb_h self) {
  (void)instance;
  host->fail(self, HB_STR("the words of stop_panics"));
  return HB_PANIC;
}
BEHAVIOUR stop_panics = {.create = create_holds, .stop = stop_panicked, .destroy = free};

/* A thread of the instance's own, which ends in stop. */
struct served {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int over;
  hb_h calls[64];
  int n_calls;
};
static void *serve(void *instance) {
  struct served *served = instance;
  pthread_mutex_lock(&served->lock);
  while (!served->over || served->n_calls) {
    if (!served->n_calls) {
      pthread_cond_wait(&served->changed, &served->lock);
      continue;
    }
    const hb_h call = served->calls[--served->n_calls];
    pthread_mutex_unlock(&served->lock);
    say(call, "by the instance's thread\n");
    pthread_mutex_lock(&served->lock);
  }
  pthread_mutex_unlock(&served->lock);
  return NULL;
}
static hb_rc create_served(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  struct served *served = calloc(1, sizeof *served);
  if (!served)
    return HB_ERR;
  pthread_mutex_init(&served->lock, NULL);
  pthread_cond_init(&served->changed, NULL);
  if (pthread_create(&served->thread, NULL, serve, served) != 0) {
    free(served);
    return HB_ERR;
  }
  *instance = served;
  return HB_READY;
}
static hb_rc start_served(void *instance, hb_h call, const hb_request *request, void **state) {
  struct served *served = instance;
  (void)request;
  pthread_mutex_lock(&served->lock);
  const int full = served->n_calls == 64;
  if (!full)
    served->calls[served->n_calls++] = call;
  pthread_cond_signal(&served->changed);
  pthread_mutex_unlock(&served->lock);
  *state = NULL;
  return full ? HB_ERR : HB_PENDING;
}
static hb_rc stop_served(void *instance, hb_h self) {
  struct served *served = instance;
  (void)self;
  pthread_mutex_lock(&served->lock);
  served->over = 1;
  pthread_cond_signal(&served->changed);
  pthread_mutex_unlock(&served->lock);
  pthread_join(served->thread, NULL);
  return HB_READY;
}
BEHAVIOUR own_thread = {.create = create_served, .start = start_served, .poll = poll_waits, .stop = stop_served, .destroy = free};

/* --- tables of other ages --- */

static const hb_module *entry_older(void) {
  static hb_module table;
  static const struct behaviour usual;
  table = usual_table(&usual);
  table.size = offsetof(hb_module, extension);
  return &table;
}
BEHAVIOUR older_table = {.entry = entry_older};

static const hb_module *entry_newer(void) {
  static struct {
    hb_module known;
    uint64_t news[4];
  } table;
  static const struct behaviour usual;
  table.known = usual_table(&usual);
  table.known.size = sizeof table;
  table.known.flags |= 0x8000; /* Of the low half: ignored by who does not know it. */
  table.news[0] = 42;
  return &table.known;
}
BEHAVIOUR newer_table = {.entry = entry_newer};

/* As a module that was built with a later header sees its host: there may be more behind what every host has, or not. */
struct later_host {
  hb_host known;
  hb_rc (*later)(hb_h call);
};
static hb_rc start_looks_first(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  return say(call, host->size < sizeof(struct later_host) ? "with less\n" : "with all\n");
}
BEHAVIOUR runs_with_less = {.start = start_looks_first};

ENTRY
