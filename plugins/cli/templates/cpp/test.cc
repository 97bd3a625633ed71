// Calls the module as a host does. `make test` runs it; no Hotbay is needed.

#include "hotbay.h"

#include <iostream>
#include <string>
#include <string_view>

namespace {

struct Answer {
  uint16_t status = 0;
  std::string body;
} answer;

std::string_view text(hb_str view) { return {reinterpret_cast<const char *>(view.ptr), view.len}; }
hb_str view(std::string_view text) { return hb_str_of(text.data(), text.size()); }

// Functions that the module uses and this host does not have are null: give them here.
hb_host make_host() {
  hb_host host{};
  host.size = sizeof host;
  host.abi_minor = HB_ABI_MINOR;
  host.respond = [](hb_h, const hb_response *response) -> hb_rc {
    const auto &body = response->body;
    answer = {response->status, std::string(reinterpret_cast<const char *>(body.ptr), body.len)};
    if (!(response->flags & HB_RESP_COPY) && body.release)
      body.release(body.owner);
    return HB_READY;
  };
  host.fail = [](hb_h any, hb_str reason) { std::cerr << "handle " << any << ": " << text(reason) << "\n"; };
  return host;
}

int failures = 0;

void expect(bool holds, std::string_view what) {
  std::cout << (holds ? "ok     " : "FAILED ") << what << "\n";
  failures += !holds;
}

// One GET for `who` to an instance with this config.
hb_rc get(const hb_module *module, std::string_view config_json, std::string_view who) {
  hb_config config{};
  config.size = sizeof config;
  config.config_json = view(config_json);
  const hb_header params[] = {{HB_STR("who"), view(who)}};
  hb_request request{};
  request.size = sizeof request;
  request.flags = HB_REQ_BODY_INLINE;
  request.http = 11;
  request.method = HB_STR("GET");
  request.path = HB_STR("/{{name}}/who");
  request.params = params;
  request.n_params = 1;
  void *instance = nullptr, *state = nullptr;
  if (module->create(&config, 1, &instance) != HB_READY)
    return HB_ERR;
  answer = {};
  const hb_rc rc = module->start(instance, 2, &request, &state);
  if (rc == HB_PENDING)
    module->drop(state, 0);
  module->stop(instance, 1);
  module->destroy(instance);
  return rc;
}

} // namespace

int main() {
  static const hb_host host = make_host();
  const hb_module *module = hotbay_module_v1(&host);
  expect(module != nullptr, "the module takes this host");
  expect(get(module, "{}", "ada") == HB_READY && answer.status == 200, "a request is answered at once");
  expect(answer.body == "Hello, ada!\n", "it greets who is named");
  get(module, R"({"greeting": "Ahoy"})", "ada");
  expect(answer.body == "Ahoy, ada!\n", "the config chooses the greeting");
  return failures != 0;
}
