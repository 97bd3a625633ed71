/* What a call of a host's function costs, for the benchmark: GET /calls makes each of them a million times, and answers with lines of name and
 * nanoseconds. */
#define _POSIX_C_SOURCE 200809L
#include "subject.h"

#include <stdio.h>
#include <time.h>

HB_MODULE_NOTES(HB_JSON({"manifest": 1, "name": "hotbay-bench-calls", "version": "1.0", "sdk": "c",
                         "handlers": [{"name": "calls", "methods": ["GET"], "path": "/calls"}]}));

enum { TIMES = 1000000 };
/* Nanoseconds: longer than any of this takes. */
#define MINUTE 60000000000ull

static const hb_metrics *metrics;
static uint64_t series;

static hb_rc create(const hb_config *config, hb_h self, void **instance) {
  (void)config;
  *instance = NULL;
  /* The host looks at its timers when the first is due: with this one there, those of a call need not wake it. */
  if (host->timer(self, host->now_ns() + MINUTE) != HB_READY) return HB_ERR;
  metrics = host->extension(HB_METRICS_ID);
  if (!metrics) return HB_UNSUPPORTED;
  return metrics->register_series(self, HB_METRIC_COUNTER, HB_STR("bench_calls_total"), HB_STR("Calls."), NULL, 0, NULL, 0, &series);
}

static void destroy(void *instance) { (void)instance; }

/* Of the processor, so that what else the machine does is not in it. */
static double thread_ns(void) {
  struct timespec spent;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent)) return 0;
  return (double)spent.tv_sec * 1e9 + (double)spent.tv_nsec;
}

#define MEASURE(name, call)                                                                                      \
  do {                                                                                                           \
    const double began = thread_ns();                                                                            \
    for (int i = 0; i < TIMES; i++) call;                                                                        \
    at += (size_t)snprintf(text + at, sizeof text - at, "%s %.2f\n", name, (thread_ns() - began) / TIMES);       \
  } while (0)

static hb_rc start(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  char text[1024];
  size_t at = 0;
  hb_str peer;
  hb_buf piece;
  const hb_str words = HB_STR("nobody reads this");
  struct timespec now;
  MEASURE("(no call: the C library's clock_gettime)", clock_gettime(CLOCK_MONOTONIC, &now));
  MEASURE("now_ns", host->now_ns());
  MEASURE("wake", host->wake(call));
  MEASURE("wake of a stale handle", host->wake(call ^ (1ull << 40)));
  MEASURE("read at the end", host->read(call, &piece));
  MEASURE("info", host->info(call, HB_INFO_PEER, &peer));
  MEASURE("log that nobody reads", host->log(call, HB_LOG_TRACE, words, words, words));
  MEASURE("a counter", metrics->add(series, 1));
  const uint64_t far = host->now_ns() + 60 * MINUTE;
  MEASURE("timer, armed anew for later", host->timer(call, far + (uint64_t)i));
  MEASURE("timer, armed anew for sooner", host->timer(call, far - (uint64_t)i));
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = 200};
  response.body.ptr = (const uint8_t *)text;
  response.body.len = at;
  return host->respond(call, &response);
}

SUBJECT
