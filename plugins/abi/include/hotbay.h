/* Hotbay's module ABI. C11 and C++17.
 *
 * A module is one shared object that exports one function, hotbay_module_v1, and carries two ELF notes (end of this file).
 * It gets one table of functions and returns one. Both tables begin with their size and only ever grow at the end: read a field only
 * if it lies within `size`. Until ABI 1 is frozen, hosts and modules announce major 0.
 *
 * Zero what you do not know: every pad, every flag without a name. A reader ignores flags of the low half that it does not know, and refuses
 * those of the high half.
 *
 * LP64, little-endian ELF only. No enum, bool, long, bit field, union, varargs, errno, descriptor or FILE crosses this boundary. */
#ifndef HOTBAY_H
#define HOTBAY_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define HB_ABI_MAJOR 0u
#define HB_ABI_MINOR 1u

/* What a function answers: >= 0 progress, < 0 final. Treat an unknown negative value as HB_ERR. */
typedef int32_t hb_rc;
#define HB_READY 0
#define HB_PENDING 1     /* Not done, nothing taken. One wake of the same handle follows when it may go on; polling early is legal. */
#define HB_EOF 2         /* read: the body has ended. */
#define HB_ERR (-1)
#define HB_GONE (-2)     /* The handle is stale: the client left, the call was answered already, or it is over. Never retried. */
#define HB_LIMIT (-3)    /* read: the body is larger than the module's limit. respond: too many or too large headers. */
#define HB_DENIED (-4)
#define HB_UNSUPPORTED (-5)
#define HB_PANIC (-6)    /* An SDK caught an unwind. Nothing may unwind across this header. */

/* A call or an instance, as the host names it. 0 names neither. A value is never given out twice in a process; it may be copied freely
 * and used from any thread at any time: a stale one is answered with HB_GONE, never with undefined behaviour. */
typedef uint64_t hb_h;

/* Frozen: these sit in arrays or travel by value, so they can never grow. */
typedef struct { const uint8_t *ptr; size_t len; } hb_str; /* Borrowed bytes, UTF-8 not promised. ptr NULL: absent; set with len 0: empty. */
typedef struct { hb_str name, value; } hb_header;          /* Name in lower case. Duplicates are kept, in order among equal names. */
typedef struct {                                           /* Owned bytes: released exactly once by the receiver, on any thread, at any time, */
  const uint8_t *ptr;                                      /* even after destroy. release() calls no host function and cannot fail. */
  size_t len;
  void *owner;
  void (*release)(void *owner);                            /* NULL: the bytes live as long as the process. */
} hb_buf;

/* Reserved: HB_REQ flag 2 (an upgrade is possible), HB_RESP flags 1 (a stream follows) and 2 (an upgrade). */
#define HB_REQ_BODY_INLINE 1u /* `body` is the whole request body (len 0: there is none); read() would answer HB_EOF. */

/* A request. The whole struct and every view in it live until drop() of this call returns (until start() returns, if it did not
 * answer HB_PENDING), also after respond(). */
typedef struct hb_request {
  uint32_t size, flags;
  uint32_t handler;             /* Index into the manifest's handlers. */
  uint16_t http, pad;           /* 10, 11 or 20. */
  uint32_t n_headers, n_params;
  hb_str method, scheme, authority;
  hb_str path, query;           /* query absent: no '?'. If set, it lies one byte after the path, in the same block. Percent-encoding is kept. */
  hb_str body;
  const hb_header *headers;
  const hb_header *params;      /* Path parameters: name, and raw value. */
  int64_t content_length;       /* -1: unknown. */
  uint64_t deadline_ns;         /* CLOCK_MONOTONIC; 0: none was read yet. */
  uint64_t request_id[2];       /* 0, 0: none. */
} hb_request;

#define HB_RESP_COPY 4u /* body.ptr is borrowed for the call of respond(), and the host copies; owner and release are ignored. */

typedef struct hb_response {
  uint32_t size, flags;
  uint16_t status, pad;         /* 200 to 599. */
  uint32_t n_headers;
  const hb_header *headers;     /* Borrowed for the call. The host sets content-length, date, connection and transfer-encoding itself. */
  hb_buf body;
} hb_response;

/* What an instance is made with. Views live until create() returns. */
typedef struct hb_config {
  uint32_t size, flags;
  hb_str name;                  /* namespace/name of the HandlerModule. */
  hb_str config_json;           /* A JSON object. */
  hb_str digest;                /* sha256:... of this file. */
} hb_config;

/* The host. Immutable, process-wide, valid for ever. Every function may be called from any thread at any time, never blocks, never
 * calls back into the module (but release() of what it was given), and checks its handle. */
typedef struct hb_host {
  uint32_t size, abi_minor;
  /* Answers a call, once: inside start or poll, or from any thread. Headers are borrowed; an owned body is taken on every return value.
   * HB_ERR: malformed, and the call is still unanswered. HB_GONE: answered already, or nobody is there. */
  hb_rc (*respond)(hb_h call, const hb_response *response);
  /* The next piece of the request's body. HB_READY: *out is yours to release. One reader at a time. */
  hb_rc (*read)(hb_h call, hb_buf *out);
  /* Cuts the call: the client never sees a clean end. */
  hb_rc (*abort)(hb_h call);
  /* Has the call (or the instance) polled again. Coalescing; not safe in signal handlers. This is the waker. */
  void (*wake)(hb_h any);
  /* Words for people, shown with the failure that follows. At most 1 KiB is kept. */
  void (*fail)(hb_h any, hb_str reason);
  /* target says where the words come from and may be absent. level: 1 error, 2 warn, 3 info, 4 debug, 5 trace. handle 0: the image that is being loaded, or a thread without a call. */
  void (*log)(hb_h any, int32_t level, hb_str target, hb_str message);
  const int32_t *log_level;     /* The most detailed level that is kept. Read it with a relaxed atomic load. */
  uint64_t (*now_ns)(void);     /* CLOCK_MONOTONIC. */
  /* A named extension, e.g. "hotbay.metrics/1": a table (size first) that is valid for ever; NULL: absent. */
  const void *(*extension)(const char *id);
} hb_host;

#define HB_MOD_PANIC_UNWIND 1u /* Panics of this module unwind (or nothing in it panics). Required: an abort would end the engine. */

/* The module. The host copies min(its size, the host's size) bytes. */
typedef struct hb_module {
  uint32_t size, abi_minor, flags, n_handlers; /* n_handlers must be the manifest's. */
  /* Makes an instance, on the loader thread. HB_PENDING: *instance is set, and poll_instance is called on each wake until it answers
   * something else. < 0: *instance is ignored; HB_DENIED says that the config is at fault, so that it is not tried again. Make no threads here that the module may never need. */
  hb_rc (*create)(const hb_config *config, hb_h self, void **instance);
  /* After create or stop answered HB_PENDING. Never concurrent with itself. < 0 after create: destroy follows, and no stop. */
  hb_rc (*poll_instance)(void *instance, hb_h self);
  hb_rc (*stop)(void *instance, hb_h self);          /* Once. No start() follows. HB_PENDING: poll_instance is called. */
  void (*destroy)(void *instance);                   /* Once, after stop has settled or timed out, and every call was dropped. */
  /* Begins a call and does its first poll, on any engine thread, concurrently per instance. HB_READY: the answer is complete, *state is
   * ignored and the handle dies on return. HB_PENDING: *state is owned by the call. < 0: *state is ignored, and the client gets 500, unless it was answered before. */
  hb_rc (*start)(void *instance, hb_h call, const hb_request *request, void **state);
  hb_rc (*poll)(void *state, hb_h call);             /* One at a time per state, on any engine thread. */
  /* Exactly once per start that answered HB_PENDING, perhaps without a further poll. The handle is dead by then.
   * why: 0 done, 1 client left, 2 time-out, 3 shutdown, 4 error. */
  void (*drop)(void *state, int32_t why);
  const void *(*extension)(const char *id);          /* The module's side of a named extension; the pointer may be NULL. */
} hb_module;

/* Called once per image, on the loader thread. Keep `host`. Make no threads, do no I/O. NULL: refuse (after log(0, ...)). */
__attribute__((visibility("default"))) const hb_module *hotbay_module_v1(const hb_host *host);

/* ELF notes, in PT_NOTE, name "Hotbay", 4-byte aligned: type 1 is the manifest (JSON, at most 256 KiB), type 2 is
 * {uint16_t major, minor_needed; uint32_t flags}. */
#ifdef __cplusplus
}
#endif
#endif
