// GET /{{name}}/{who} greets whoever is named. hotbay.h says what each function may do, and who owns what.

#include "hotbay.h"

#include <exception>
#include <memory>
#include <string>
#include <string_view>

// What this module is: its routes, and what its config may be.
HB_MODULE_NOTES(HB_JSON({
  "manifest": 1,
  "name": "{{name}}",
  "version": "0.1.0",
  "sdk": "cpp",
  "handlers": [{"name": "greet", "methods": ["GET"], "path": "/{{name}}/{who}"}],
  "configSchema": {
    "type": "object",
    "properties": {"greeting": {"type": "string", "maxLength": 64, "pattern": "^[^\"\\\\]*$"}},
    "additionalProperties": false
  }
}));

namespace {

const hb_host *host;

std::string_view text(hb_str view) { return {reinterpret_cast<const char *>(view.ptr), view.len}; }
hb_str view(std::string_view text) { return hb_str_of(text.data(), text.size()); }

// Nothing may unwind across the boundary: every function that the host calls goes through here. What was thrown is told with the failure.
template <class Body> hb_rc guarded(hb_h handle, Body body) noexcept {
  try {
    return body();
  } catch (const std::exception &error) {
    host->fail(handle, view(error.what()));
  } catch (...) {
    host->fail(handle, HB_STR("something was thrown that is no std::exception"));
  }
  return HB_PANIC;
}

// What a newer host wants to be understood, and this module does not know.
hb_rc refuse(hb_h handle) {
  host->fail(handle, HB_STR("the host asks for what this module is too old for"));
  return HB_UNSUPPORTED;
}

// One for each config, shared by all its calls, which run at once on many threads: const after its constructor.
class Greeter {
public:
  explicit Greeter(std::string_view config_json) {
    // The host has checked the config against the schema above, so the text needs no unescaping; a real module with more config links a
    // JSON parser.
    const std::string_view key = "\"greeting\"";
    const auto at = config_json.find(key);
    if (at == config_json.npos)
      return;
    const auto open = config_json.find('"', at + key.size());
    const auto close = config_json.find('"', open + 1);
    greeting = std::string(config_json.substr(open + 1, close - open - 1));
  }

  // Answers at once: no state is made, so poll and drop are never called.
  hb_rc greet(hb_h call, const hb_request &request) const {
    auto body = std::make_unique<std::string>(greeting);
    body->append(", ").append(text(request.params[0].value)).append("!\n");
    static const hb_header headers[] = {HB_HEADER_INIT("content-type", "text/plain; charset=utf-8")};
    hb_response response{};
    response.size = sizeof response;
    response.status = 200;
    response.n_headers = 1;
    response.headers = headers;
    response.body.ptr = reinterpret_cast<const uint8_t *>(body->data());
    response.body.len = body->size();
    // The host takes the body, whatever respond returns, and releases it once it is sent.
    response.body.owner = body.release();
    response.body.release = [](void *owner) { delete static_cast<std::string *>(owner); };
    const hb_rc rc = host->respond(call, &response);
    return rc < 0 ? rc : HB_READY;
  }

private:
  std::string greeting = "Hello";
};

hb_rc create(const hb_config *config, hb_h self, void **instance) {
  return guarded(self, [&]() -> hb_rc {
    if (config->flags >> 16)
      return refuse(self);
    *instance = new Greeter(text(config->config_json));
    return HB_READY;
  });
}

hb_rc start(void *instance, hb_h call, const hb_request *request, void **) {
  return guarded(call, [&]() -> hb_rc {
    if (request->flags >> 16)
      return refuse(call);
    switch (request->handler) { // The index into the manifest's handlers.
    case 0:
      return static_cast<const Greeter *>(instance)->greet(call, *request);
    default:
      return HB_ERR;
    }
  });
}

hb_rc poll_instance(void *, hb_h) { return HB_READY; }
hb_rc stop(void *, hb_h) { return HB_READY; }
void destroy(void *instance) { delete static_cast<Greeter *>(instance); }
hb_rc poll(void *, hb_h) { return HB_ERR; }
void drop(void *, int32_t) {}

const hb_module module = {sizeof(hb_module), HB_ABI_MINOR, HB_MOD_PANIC_UNWIND, 1,    create, poll_instance,
                          stop,              destroy,      start,               poll, drop,   nullptr};

} // namespace

const hb_module *hotbay_module_v1(const hb_host *given) {
  if (given->size < sizeof *given)
    return nullptr; // Older than this header.
  host = given;
  return &module;
}
