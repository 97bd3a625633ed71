/* Calls the module as a host does. `make test` runs it; no Hotbay is needed. */

#include "hotbay.h"

#include <stdio.h>
#include <string.h>

static struct {
  uint16_t status;
  char body[1024];
} answer;

static hb_rc respond(hb_h call, const hb_response *response) {
  (void)call;
  answer.status = response->status;
  snprintf(answer.body, sizeof answer.body, "%.*s", (int)response->body.len, (const char *)response->body.ptr);
  if (!(response->flags & HB_RESP_COPY) && response->body.release)
    response->body.release(response->body.owner);
  return HB_READY;
}

static void fail(hb_h any, hb_str reason) { fprintf(stderr, "handle %d: %.*s\n", (int)any, (int)reason.len, (const char *)reason.ptr); }

/* Functions that the module uses and this host does not have are NULL: give them here. */
static const hb_host host = {.size = sizeof host, .abi_minor = HB_ABI_MINOR, .respond = respond, .fail = fail};

static int failures;

static void expect(int holds, const char *what) {
  printf("%s %s\n", holds ? "ok    " : "FAILED", what);
  failures += !holds;
}

/* One GET for `who` to an instance with this config. */
static hb_rc get(const hb_module *module, const char *config_json, const char *who) {
  const hb_config config = {.size = sizeof config, .config_json = hb_str_of(config_json, strlen(config_json))};
  const hb_header params[] = {{HB_STR_INIT("who"), hb_str_of(who, strlen(who))}};
  const hb_request request = {.size = sizeof request,
                              .flags = HB_REQ_BODY_INLINE,
                              .http = 11,
                              .method = HB_STR("GET"),
                              .path = HB_STR("/{{name}}/who"),
                              .params = params,
                              .n_params = 1};
  void *instance = NULL, *state = NULL;
  if (module->create(&config, 1, &instance) != HB_READY)
    return HB_ERR;
  memset(&answer, 0, sizeof answer);
  const hb_rc rc = module->start(instance, 2, &request, &state);
  if (rc == HB_PENDING)
    module->drop(state, 0);
  module->stop(instance, 1);
  module->destroy(instance);
  return rc;
}

int main(void) {
  const hb_module *module = hotbay_module_v1(&host);
  expect(module != NULL, "the module takes this host");
  expect(get(module, "{}", "ada") == HB_READY && answer.status == 200, "a request is answered at once");
  expect(strcmp(answer.body, "Hello, ada!\n") == 0, "it greets who is named");
  get(module, "{\"greeting\": \"Ahoy\"}", "ada");
  expect(strcmp(answer.body, "Ahoy, ada!\n") == 0, "the config chooses the greeting");
  return failures != 0;
}
