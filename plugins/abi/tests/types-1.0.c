/* The types of ABI 1.0, written out: of every function, and of every field. tests/layout.rs compiles this against every later header, as C and
 * as C++: never change a line. */
#include "hotbay.h"

/* What the names stand for. */
typedef int32_t rc;
typedef uint64_t handle;

/* The field's address is one of such a value. */
#define HOLDS(structure, type, field) \
  type const *structure##_##field(const structure *whole); \
  type const *structure##_##field(const structure *whole) { return &whole->field; }

typedef void (*release_1_0)(void *owner);
HOLDS(hb_str, uint8_t const *, ptr)
HOLDS(hb_str, size_t, len)
HOLDS(hb_header, hb_str, name)
HOLDS(hb_header, hb_str, value)
HOLDS(hb_buf, uint8_t const *, ptr)
HOLDS(hb_buf, size_t, len)
HOLDS(hb_buf, void *, owner)
HOLDS(hb_buf, release_1_0, release)

typedef uint64_t two_1_0[2];
HOLDS(hb_request, uint32_t, size)
HOLDS(hb_request, uint32_t, flags)
HOLDS(hb_request, uint32_t, handler)
HOLDS(hb_request, uint16_t, http)
HOLDS(hb_request, uint16_t, pad)
HOLDS(hb_request, uint32_t, n_headers)
HOLDS(hb_request, uint32_t, n_params)
HOLDS(hb_request, hb_str, method)
HOLDS(hb_request, hb_str, scheme)
HOLDS(hb_request, hb_str, authority)
HOLDS(hb_request, hb_str, path)
HOLDS(hb_request, hb_str, query)
HOLDS(hb_request, hb_str, body)
HOLDS(hb_request, hb_str, protocol)
HOLDS(hb_request, hb_header const *, headers)
HOLDS(hb_request, hb_header const *, params)
HOLDS(hb_request, int64_t, content_length)
HOLDS(hb_request, uint64_t, deadline_ns)
HOLDS(hb_request, two_1_0, request_id)

HOLDS(hb_response, uint32_t, size)
HOLDS(hb_response, uint32_t, flags)
HOLDS(hb_response, uint16_t, status)
HOLDS(hb_response, uint16_t, pad)
HOLDS(hb_response, uint32_t, n_headers)
HOLDS(hb_response, hb_header const *, headers)
HOLDS(hb_response, hb_buf, body)

HOLDS(hb_config, uint32_t, size)
HOLDS(hb_config, uint32_t, flags)
HOLDS(hb_config, hb_str, name)
HOLDS(hb_config, hb_str, config_json)
HOLDS(hb_config, hb_str, digest)

typedef rc (*respond_1_0)(handle, const hb_response *);
typedef rc (*read_1_0)(handle, hb_buf *);
typedef rc (*write_1_0)(handle, const hb_buf *, uint32_t);
typedef rc (*finish_1_0)(handle, const hb_header *, uint32_t);
typedef rc (*abort_1_0)(handle);
typedef void (*wake_1_0)(handle);
typedef rc (*timer_1_0)(handle, uint64_t);
typedef rc (*trailers_1_0)(handle, const hb_header **, uint32_t *);
typedef rc (*info_1_0)(handle, uint32_t, hb_str *);
typedef void (*fail_1_0)(handle, hb_str);
typedef void (*log_1_0)(handle, int32_t, hb_str, hb_str, hb_str);
typedef uint64_t (*now_ns_1_0)(void);
typedef const void *(*extension_1_0)(const char *);
HOLDS(hb_host, uint32_t, size)
HOLDS(hb_host, uint32_t, abi_minor)
HOLDS(hb_host, respond_1_0, respond)
HOLDS(hb_host, read_1_0, read)
HOLDS(hb_host, write_1_0, write)
HOLDS(hb_host, finish_1_0, finish)
HOLDS(hb_host, abort_1_0, abort)
HOLDS(hb_host, wake_1_0, wake)
HOLDS(hb_host, timer_1_0, timer)
HOLDS(hb_host, trailers_1_0, trailers)
HOLDS(hb_host, info_1_0, info)
HOLDS(hb_host, fail_1_0, fail)
HOLDS(hb_host, log_1_0, log)
HOLDS(hb_host, int32_t const *, log_level)
HOLDS(hb_host, now_ns_1_0, now_ns)
HOLDS(hb_host, extension_1_0, extension)

typedef rc (*create_1_0)(const hb_config *, handle, void **);
typedef rc (*instance_1_0)(void *, handle);
typedef void (*destroy_1_0)(void *);
typedef rc (*start_1_0)(void *, handle, const hb_request *, void **);
typedef rc (*poll_1_0)(void *, handle);
typedef void (*drop_1_0)(void *, int32_t);
HOLDS(hb_module, uint32_t, size)
HOLDS(hb_module, uint32_t, abi_minor)
HOLDS(hb_module, uint32_t, flags)
HOLDS(hb_module, uint32_t, n_handlers)
HOLDS(hb_module, create_1_0, create)
HOLDS(hb_module, instance_1_0, poll_instance)
HOLDS(hb_module, instance_1_0, stop)
HOLDS(hb_module, destroy_1_0, destroy)
HOLDS(hb_module, start_1_0, start)
HOLDS(hb_module, poll_1_0, poll)
HOLDS(hb_module, drop_1_0, drop)
HOLDS(hb_module, extension_1_0, extension)

typedef rc (*register_1_0)(handle, uint32_t, hb_str, hb_str, const hb_header *, uint32_t, const double *, uint32_t, uint64_t *);
typedef void (*series_1_0)(uint64_t, double);
HOLDS(hb_metrics, uint32_t, size)
HOLDS(hb_metrics, uint32_t, pad)
HOLDS(hb_metrics, register_1_0, register_series)
HOLDS(hb_metrics, series_1_0, add)
HOLDS(hb_metrics, series_1_0, set)
HOLDS(hb_metrics, series_1_0, observe)

typedef char name_1_0[8];
HOLDS(hb_note, uint32_t, name_size)
HOLDS(hb_note, uint32_t, desc_size)
HOLDS(hb_note, uint32_t, type)
HOLDS(hb_note, name_1_0, name)

/* The one symbol of a module. */
typedef const hb_module *(*entry_1_0)(const hb_host *);
extern const entry_1_0 entry;
const entry_1_0 entry = hotbay_module_v1;
