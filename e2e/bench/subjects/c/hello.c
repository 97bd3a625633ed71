/* hello in C, for the benchmark: the text is made once an instance and copied into each answer, as the others do. */
#include "subject.h"

#include <stdlib.h>
#include <string.h>

HB_MODULE_NOTES(HB_JSON({"manifest": 1, "name": "hotbay-bench-c", "version": "1.0", "sdk": "c",
                         "handlers": [{"name": "hello", "methods": ["GET"], "path": "/hello"}]}));

static hb_rc create(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  static const char text[] = "Hello from Hotbay " VERSION "\n";
  *instance = malloc(sizeof text);
  if (!*instance) return HB_ERR;
  memcpy(*instance, text, sizeof text);
  return HB_READY;
}

static void destroy(void *instance) { free(instance); }

static hb_rc start(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)request, (void)state;
  static const hb_header headers[] = {HB_HEADER_INIT("content-type", "text/plain; charset=utf-8")};
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = 200, .n_headers = 1, .headers = headers};
  response.body.ptr = instance;
  response.body.len = strlen(instance);
  return host->respond(call, &response);
}

SUBJECT
