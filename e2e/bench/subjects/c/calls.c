/* What a call of a host's function costs, for the benchmark: GET /calls makes each of them a million times, and answers with lines of name and
 * nanoseconds. */
#include "subject.h"

#include <stdio.h>

HB_MODULE_NOTES(HB_JSON({"manifest": 1, "name": "hotbay-bench-calls", "version": "1.0", "sdk": "c",
                         "handlers": [{"name": "calls", "methods": ["GET"], "path": "/calls"}]}));

enum { TIMES = 1000000 };

static const hb_metrics *metrics;
static uint64_t series;

static hb_rc create(const hb_config *config, hb_h self, void **instance) {
  (void)config;
  *instance = NULL;
  metrics = host->extension(HB_METRICS_ID);
  if (!metrics) return HB_UNSUPPORTED;
  return metrics->register_series(self, HB_METRIC_COUNTER, HB_STR("bench_calls_total"), HB_STR("Calls."), NULL, 0, NULL, 0, &series);
}

static void destroy(void *instance) { (void)instance; }

#define MEASURE(name, call)                                                                                           \
  do {                                                                                                                \
    const uint64_t began = host->now_ns();                                                                            \
    for (int i = 0; i < TIMES; i++) call;                                                                             \
    at += (size_t)snprintf(text + at, sizeof text - at, "%s %.2f\n", name, (double)(host->now_ns() - began) / TIMES); \
  } while (0)

static hb_rc start(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  char text[512];
  size_t at = 0;
  hb_str peer;
  hb_buf piece;
  const hb_str words = HB_STR("nobody reads this");
  MEASURE("now_ns", host->now_ns());
  MEASURE("wake", host->wake(call));
  MEASURE("wake of a stale handle", host->wake(call ^ (1ull << 40)));
  MEASURE("read at the end", host->read(call, &piece));
  MEASURE("info", host->info(call, HB_INFO_PEER, &peer));
  MEASURE("log that nobody reads", host->log(call, HB_LOG_TRACE, words, words, words));
  MEASURE("a counter", metrics->add(series, 1));
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = 200};
  response.body.ptr = (const uint8_t *)text;
  response.body.len = at;
  return host->respond(call, &response);
}

SUBJECT
