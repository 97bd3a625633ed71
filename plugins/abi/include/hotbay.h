/* Hotbay's module ABI. C11 and C++17.
 *
 * A module is one shared object that exports one function, hotbay_module_v1, and carries two ELF notes (end of this file).
 * It gets one table of functions and returns one. Both tables begin with their size and only ever grow at the end: read a field only
 * if it lies within `size`. So does every struct that has a `size`; who fills one in sets it to sizeof. ABI 1.0 is frozen: what is here stays, and
 * later minor versions add to it. docs/module-abi.md tells the same in order, with a whole module as an example.
 *
 *   image      the file, loaded once, never unloaded: hotbay_module_v1
 *   instance   the image with one config: create [poll_instance ...] ... stop [poll_instance ...] destroy
 *   call       one request to one instance: start [poll ...] drop
 *
 * A pointer that is passed in is valid for the call of that function and no longer, unless its comment says otherwise. No text ends
 * with a NUL, unless its type is char.
 *
 * Zero what you do not know: every pad, every flag without a name. A reader ignores flags of the low half that it does not know, and refuses
 * those of the high half: with HB_UNSUPPORTED, after fail() in a module (of a request in start, of a config in create). This header names
 * none of the high half yet, so `flags >> 16` is the whole check.
 *
 * "A loader thread" is one that the host keeps for this, not always the same one. What is called on it is called one at a time in a process,
 * unless a function hangs: then another thread goes on, beside it.
 *
 * LP64, little-endian ELF only. No enum, bool, long, bit field, union, varargs, errno, descriptor or FILE crosses this boundary. */
#ifndef HOTBAY_H
#define HOTBAY_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define HB_ABI_MAJOR 1u
#define HB_ABI_MINOR 0u

/* What a function answers: >= 0 progress, < 0 final, but where its comment says otherwise. Treat an unknown negative value as HB_ERR. An unknown
 * positive one of respond, finish, abort, timer, trailers, info or register_series is HB_READY; of read and write it is final, and nothing was taken
 * or given. A host takes a positive one that is not named for a function of the module as HB_ERR. */
typedef int32_t hb_rc;
#define HB_READY 0
#define HB_PENDING 1     /* Not done, nothing taken. One wake of the same handle follows when it may go on; polling early is legal. From the
                          * module it means the same to the host: poll me when this handle was woken. */
#define HB_EOF 2         /* read: the body has ended. respond (taken) and write (not taken): the client gets no (more) body (HEAD, 204, 304, a
                          * content-length of 0): stop producing; no finish() is needed. */
#define HB_ERR (-1)      /* Malformed, or failed. From the module: after fail(), which says why. */
#define HB_GONE (-2)     /* The handle is stale: the client left, the call was answered already, or it is over. Never retried. From read it may also
                          * mean that the body is malformed or was cut, while the call goes on: answer 400. */
#define HB_LIMIT (-3)    /* read: the body is larger than the module's limit. respond, finish: too many or too large headers. */
#define HB_DENIED (-4)      /* respond: an upgrade that was not offered. create, and poll_instance after it: the config is at fault. */
#define HB_UNSUPPORTED (-5) /* A flag, number or name that the other side is too old to know. */
#define HB_PANIC (-6)    /* An SDK caught an unwind. Nothing may unwind across this header. */

/* A call or an instance, as the host names it. 0 names neither. A value is never given out twice in a process; it may be copied freely
 * and used from any thread at any time: a stale one is answered with HB_GONE, never with undefined behaviour. It fits in a pointer, so
 * that a waker can be the handle itself. */
typedef uint64_t hb_h;

/* Frozen: these sit in arrays or travel by value, so they can never grow. */
typedef struct { const uint8_t *ptr; size_t len; } hb_str; /* Borrowed bytes, UTF-8 not promised. ptr NULL: absent; set with len 0: empty. */
typedef struct { hb_str name, value; } hb_header;          /* Name in lower case. Duplicates are kept, in order among equal names. */
typedef struct {                                           /* Owned bytes: released exactly once by the receiver, on any thread, at any time, */
  const uint8_t *ptr;                                      /* even after destroy. release() calls no host function and cannot fail. */
  size_t len;
  void *owner;
  void (*release)(void *owner);                            /* NULL: the bytes live, unchanged, as long as the process. */
} hb_buf;

#define HB_REQ_BODY_INLINE 1u /* `body` is the whole request body (len 0: there is none); read() would answer HB_EOF. Without it `body` is absent.
                               * Never set while the client waits for 100 Continue: the first read() sends that. */
#define HB_REQ_UPGRADE_OK 2u  /* The client offers to leave HTTP for `protocol`: HB_RESP_UPGRADE is allowed. By HTTP/2 the method is CONNECT then
                               * (RFC 8441), with a path as any other. */

/* A request. The whole struct and every view in it live until drop() of this call returns (until start() returns, if it did not
 * answer HB_PENDING), also after respond(): an answer may be made of views of its request, but for a body without HB_RESP_COPY, which
 * outlives them. */
typedef struct hb_request {
  uint32_t size, flags;
  uint32_t handler;             /* Index into the manifest's handlers. */
  uint16_t http, pad;           /* 10, 11 or 20; later hosts may have others: treat what is above 20 as 20. */
  uint32_t n_headers, n_params;
  hb_str method, scheme;        /* UTF-8, as path, query, protocol and the names of headers and parameters are: the host has made sure, and
                                 * you need not. scheme absent: the client named none, as most do by HTTP/1.1 ("GET /path"). */
  hb_str authority;             /* Of HTTP/1.1 the header Host, whatever bytes that has, unless the target names one; absent: the client named none. */
  hb_str path, query;           /* As the client sent them, percent-encoding and all. query absent: no '?'. If set, it lies one byte after the
                                 * path, in the same block. */
  hb_str body;
  hb_str protocol;              /* The token of an HTTP/1.1 Upgrade or of :protocol, in lower case ("websocket"); absent without HB_REQ_UPGRADE_OK. */
  const hb_header *headers;
  const hb_header *params;      /* Path parameters, in the template's order: name, and raw value. NULL, as headers, if there are none. */
  int64_t content_length;       /* -1: unknown. */
  uint64_t deadline_ns;         /* CLOCK_MONOTONIC; 0: the host tells none, as no host of ABI 1.0 does. */
  uint64_t request_id[2];       /* 0, 0: not told as a number, as by every host of ABI 1.0; as text always: info(HB_INFO_REQUEST_ID). */
} hb_request;

#define HB_RESP_STREAM 1u  /* `body` is the first piece (perhaps empty); write() and finish() follow. A content-length among the headers is a
                            * promise: a stream that ends short of it or goes beyond it is cut. */
#define HB_RESP_UPGRADE 2u /* Status 101 (or 2xx for HTTP/2): read() and write() carry the new protocol's bytes from now on, those first that
                            * the client sent early. write() may begin at once. finish() without trailers ends our side; read() answering HB_EOF
                            * is the end of theirs; the call may end when both have. HB_DENIED: the request did not offer it. */
#define HB_RESP_COPY 4u    /* body.ptr is borrowed for the call of respond(), and the host copies; owner and release are ignored. For some
                            * 4 KiB and less that is cheaper than an owner. */

typedef struct hb_response {
  uint32_t size, flags;
  uint16_t status, pad;         /* 200 to 599, or 101 with HB_RESP_UPGRADE. */
  uint32_t n_headers;
  const hb_header *headers;     /* Borrowed for the call. The host sets date, connection, upgrade and transfer-encoding itself, and the
                                 * content-length of a whole body: one that is given has to be right. */
  hb_buf body;
} hb_response;

/* What an instance is made with. Views live until create() returns. */
typedef struct hb_config {
  uint32_t size, flags;
  hb_str name;                  /* namespace/name of the HandlerModule. */
  hb_str config_json;           /* A JSON object that fits the manifest's configSchema; {} if none was given. */
  hb_str digest;                /* sha256:... of this file. */
} hb_config;

#define HB_WRITE_COPY 1u /* in->ptr is borrowed for the call, and the host copies; owner and release are ignored. */

#define HB_INFO_PEER 1u        /* The client's address: "127.0.0.1:5000" or "[::1]:5000". A proxy's, where one stands before. */
#define HB_INFO_REQUEST_ID 2u  /* What the client sent as x-request-id, or what the host made up. */
#define HB_INFO_TRACEPARENT 3u /* W3C Trace Context, as the client sent it; absent if it sent none that is well-formed. */

/* Levels of log(). */
#define HB_LOG_ERROR 1
#define HB_LOG_WARN 2
#define HB_LOG_INFO 3
#define HB_LOG_DEBUG 4
#define HB_LOG_TRACE 5

/* The host. Immutable, process-wide, valid for ever. Every function may be called from any thread that pthread_create has made, at any time (not
 * from a signal handler), never blocks, never calls back into the module (but release() of what it was given), and checks its handle. */
typedef struct hb_host {
  uint32_t size, abi_minor;
  /* Answers a call, once: inside start or poll, or from any thread, even before start() has returned. Headers are borrowed; an owned body
   * is taken on every return value. HB_READY, HB_EOF: the answer stands; with HB_EOF the client gets no body. HB_GONE: answered already,
   * or nobody is there. HB_ERR (malformed), HB_LIMIT (more than 256 headers, or 64 KiB of them), HB_DENIED, HB_UNSUPPORTED: refused, and the call is
   * still unanswered.
   * A whole answer ends the call, whatever start or poll then return: drop(0) follows a start that answered HB_PENDING, without a poll. */
  hb_rc (*respond)(hb_h call, const hb_response *response);
  /* The next piece of the request's body. HB_READY: *out is yours to release; at most some 64 KiB, never empty. Every other value leaves
   * *out alone; HB_GONE also if the body is malformed or was cut. After some dozens of pieces in one poll() it answers HB_PENDING although there is more, as write() does, so that other
   * calls have their turn; the wake comes at once. One reader at a time. A HB_PENDING read is woken by poll() of the call's state, whichever
   * task of yours it was that read. */
  hb_rc (*read)(hb_h call, hb_buf *out);
  /* The next piece of an answer that was begun with HB_RESP_STREAM or HB_RESP_UPGRADE. HB_READY: taken. HB_PENDING: the client is slower
   * than you (256 KiB wait for it; a larger piece is taken when none waits): not taken, still yours; a wake follows. Every other value: not
   * taken, still yours, final. An empty piece is taken and says nothing. */
  hb_rc (*write)(hb_h call, const hb_buf *in, uint32_t flags);
  /* Ends a streamed answer, with trailers or none (borrowed; names that trailers may not have are left out, and by HTTP/1
   * all but those that the answer's own header `trailer` has announced). HB_READY also where the client wants no body. HB_LIMIT, and HB_ERR of malformed
   * trailers or of any for an upgrade: refused, and the stream goes on. HB_ERR where bytes of the content-length are missing: the answer is cut. HB_ERR
   * before respond(). HB_GONE: it has ended already. */
  hb_rc (*finish)(hb_h call, const hb_header *trailers, uint32_t n_trailers);
  /* Cuts the call: the client never sees a clean end. HB_GONE: its answer is complete, or it is over. */
  hb_rc (*abort)(hb_h call);
  /* Has the call polled again, or the instance while create or stop is pending: one that serves is not polled. Coalescing. This is the waker. */
  void (*wake)(hb_h any);
  /* Wakes the handle at that moment of now_ns(), or at once if it has passed. One a handle: the next call replaces it, and 0 disarms it.
   * HB_READY, HB_GONE; HB_ERR: the system gives no thread for timers, nothing will ring. */
  hb_rc (*timer)(hb_h any, uint64_t at_ns);
  /* The request's trailers, after read() has answered HB_EOF; none before. Views live as long as the request's. HB_READY: *out and *n_out are set
   * (NULL and 0: there are none); HB_GONE; HB_ERR: a NULL was passed. */
  hb_rc (*trailers)(hb_h call, const hb_header **out, uint32_t *n_out);
  /* What few calls ask for: HB_INFO_*. The view lives as long as the request's. HB_READY: *out is set, to an absent view where there is nothing to tell;
   * HB_UNSUPPORTED: not known to this host; HB_GONE; HB_ERR: a NULL was passed. */
  hb_rc (*info)(hb_h call, uint32_t what, hb_str *out);
  /* Words for people, shown with the failure that follows: in the log, or in the module's status when it is an instance's. Clients never
   * see them. At most 1 KiB is kept; the last words count. */
  void (*fail)(hb_h any, hb_str reason);
  /* target says where the words come from and may be absent, and so may fields, a JSON object. The host adds module, request id and trace.
   * handle 0: the image that is being loaded, or a thread without a call. */
  void (*log)(hb_h any, int32_t level, hb_str target, hb_str message, hb_str fields);
  const int32_t *log_level;     /* The most detailed level that is kept, 0: none. Read it with a relaxed atomic load. */
  uint64_t (*now_ns)(void);     /* CLOCK_MONOTONIC. */
  /* A named extension, e.g. "hotbay.metrics/1": a table (size first) that is valid for ever; NULL: absent. Legal from the entry on. */
  const void *(*extension)(const char *id);
} hb_host;

/* Why a call is dropped. Treat an unknown value as HB_DROP_DONE: an end as any other. */
#define HB_DROP_DONE 0
#define HB_DROP_DISCONNECT 1 /* The client left. */
#define HB_DROP_TIMEOUT 2    /* It took longer than a call may. */
#define HB_DROP_SHUTDOWN 3   /* The engine ends. */
#define HB_DROP_ERROR 4      /* poll failed, or the module ended the call without a whole answer: the client got 500, or a cut. */

#define HB_MOD_PANIC_UNWIND 1u /* Panics of this module unwind (or nothing in it panics). Required: an abort would end the engine. Where a language's
                                * panics can only abort it is set all the same, and a panic is a crash. */

/* The module. The host copies min(its size, the host's size) bytes. Every function but extension is required.
 *
 * create, poll_instance, stop and destroy each return within 3 s: the process's other instances wait meanwhile. One that does not keeps its thread to
 * itself; when it returns at last, what it has made or stopped is ended as usual, without ever having served.
 * What is said to happen once may not happen at all where the process ends: a crash stops and drops nothing, and an orderly end has a time limit. */
typedef struct hb_module {
  uint32_t size;
  uint32_t abi_minor;           /* HB_ABI_MINOR of the header that it was made with, for people: hosts decide by the note, and ignore this. */
  uint32_t flags, n_handlers;   /* HB_MOD_*, the same as in the note; n_handlers must be the manifest's. */
  /* Makes an instance, on a loader thread. HB_READY: *instance is set. HB_PENDING: so it is, and poll_instance is called on each wake until it answers something else, for
   * 30 s: then it has failed. < 0, or a value that is not named here: *instance is ignored, and no other function of it is called; HB_DENIED says that
   * the config is at fault, so that it is not tried again. Make no threads here that the module may never need. */
  hb_rc (*create)(const hb_config *config, hb_h self, void **instance); /* The host never looks behind *instance, which may be NULL. */
  /* After create or stop answered HB_PENDING. Never concurrent with itself. Failed after create: destroy follows, and no stop. */
  hb_rc (*poll_instance)(void *instance, hb_h self);
  /* Once, when no call of the instance is left and no start() follows: end your threads. HB_PENDING: poll_instance is called, for 10 s. */
  hb_rc (*stop)(void *instance, hb_h self);
  void (*destroy)(void *instance);                   /* Once, after stop has settled or timed out. self is stale by then. */
  /* Begins a call and does its first poll, on any engine or pool thread, concurrently per instance. HB_READY: the answer is complete
   * (respond, and finish if it was a stream) or the call was aborted, *state is ignored and the handle dies on return; an answer that is not complete is cut,
   * and where there is none the client gets 500.
   * HB_PENDING: *state is owned by the call; it may be NULL. < 0, or a value that is not named here: *state is ignored, and the client
   * gets 500, or a cut if an answer had begun. */
  hb_rc (*start)(void *instance, hb_h call, const hb_request *request, void **state);
  /* One at a time per state, on any engine or pool thread; answers as start does, but *state stays until drop(). Also drives the answer's
   * stream: it is called again after a wake, when a HB_PENDING write may be tried again, and when more of the request has come. */
  hb_rc (*poll)(void *state, hb_h call);
  /* Exactly once per start that answered HB_PENDING, perhaps without a further poll. The handle is dead by then.
   * why: HB_DROP_*. */
  void (*drop)(void *state, int32_t why);
  /* The module's side of a named extension; the pointer may be NULL. Any thread, any time after the entry has returned, concurrently; it neither blocks
   * nor fails. NULL: not known to this module. What it returns is valid for ever. Hosts of ABI 1.0 have nothing to ask for. */
  const void *(*extension)(const char *id);
} hb_module;

/* Called on a loader thread when the image was loaded, perhaps more than once, with the same host; it answers the same each time. Keep
 * `host`. Make no threads, do no I/O. NULL: refuse (after log(0, ...)). */
__attribute__((visibility("default"))) const hb_module *hotbay_module_v1(const hb_host *host);

/* Extension "hotbay.metrics/1": figures of a module's own on the runtime's /metrics, which get the label `module`.
 * A series is a number that register_series() gives for a family and its labels; the same ones get the same number, from any instance of
 * the same HandlerModule, as long as the process lives. Families are named as Prometheus wants it ([a-zA-Z_:][a-zA-Z0-9_:]*), and appear as written.
 * Every function may be called from any thread at any time, and never blocks; a number that was never given out does nothing. */
#define HB_METRICS_ID "hotbay.metrics/1"
#define HB_METRIC_COUNTER 1u
#define HB_METRIC_GAUGE 2u
#define HB_METRIC_HISTOGRAM 3u
typedef struct hb_metrics {
  uint32_t size, pad;
  /* Makes or finds a series of the module that `any` belongs to. buckets: upper bounds in ascending order, of a histogram only. Labels are
   * name and value. HB_LIMIT: too many (256 series a module, or as many as the host has room for) or too large; HB_ERR: malformed, or the family has
   * another kind or other bounds (of help the first words stay), in this module or, as to the kind, in another one, or a sample of it (x_sum of a
   * histogram x) has another family's name; HB_UNSUPPORTED: a kind that this host does not know; HB_GONE: `any` is stale. On all of these *out is left alone. */
  hb_rc (*register_series)(hb_h any, uint32_t kind, hb_str family, hb_str help, const hb_header *labels, uint32_t n_labels,
                           const double *buckets, uint32_t n_buckets, uint64_t *out);
  void (*add)(uint64_t series, double value);     /* Counter: value >= 0, others are ignored. Gauge: may be negative. */
  void (*set)(uint64_t series, double value);     /* Gauge. */
  void (*observe)(uint64_t series, double value); /* Histogram. */
} hb_metrics;

/* ELF notes, in PT_NOTE, name "Hotbay" (7 bytes with its NUL, padded to 8), 4-byte aligned: type 1, of which there is one, is the manifest (JSON, at
 * most 256 KiB, NULs behind it are ignored); type 2 is {uint16_t major, minor_needed; uint32_t flags}, the flags being those of hb_module. It may grow
 * at its end, and the first one counts: a reader takes its first 8 bytes and passes over the rest. A host serves a module of its own major whose
 * minor_needed is not above its own minor. */
typedef struct hb_note { uint32_t name_size, desc_size, type; char name[8]; } hb_note;

#ifndef HOTBAY_NO_HELPERS /* What follows is no part of the ABI: conveniences for C and C++. */

/* The notes of a module, once in it: HB_MODULE_NOTES(HB_JSON({"manifest": 1, ...})); minor_needed is this header's, or the one given: a
 * module that asks for less also loads in older hosts, and must look at host->size before it uses what is newer. */
#define HB_MODULE_NOTES(json) HB_MODULE_NOTES_FOR(HB_ABI_MINOR, json)
#ifdef __clang__ /* Its AddressSanitizer would pad what hosts read byte by byte. */
#define HB_IN_SECTION(name) __attribute__((section(name), used, aligned(4), no_sanitize("address")))
#else
#define HB_IN_SECTION(name) __attribute__((section(name), used, aligned(4)))
#endif
#define HB_MODULE_NOTES_FOR(minor_needed, json)                                                                              \
  HB_IN_SECTION(".note.hotbay") static const struct {                                                                        \
    hb_note abi;                                                                                                             \
    uint16_t abi_major, abi_minor;                                                                                           \
    uint32_t abi_flags;                                                                                                      \
    hb_note manifest;                                                                                                        \
    char text[(sizeof(json) + 3) / 4 * 4];                                                                                   \
  } hb_module_notes = {{7, 8, 2, "Hotbay"}, HB_ABI_MAJOR, minor_needed, HB_MOD_PANIC_UNWIND, {7, sizeof(json), 1, "Hotbay"}, json}

/* JSON as a string literal, written as it is: no quotes to escape. -Wpedantic wants at most 4,095 characters of it in C. */
#define HB_JSON(...) #__VA_ARGS__

/* A view of a string literal: HB_STR("text/plain") where an expression may stand, HB_STR_INIT and HB_HEADER_INIT in initialisers, also
 * static ones. */
#define HB_STR(literal) hb_str_of("" literal, sizeof(literal) - 1)
#define HB_STR_INIT(literal) {(const uint8_t *)("" literal), sizeof(literal) - 1}
#define HB_HEADER_INIT(name, value) {HB_STR_INIT(name), HB_STR_INIT(value)}

/* A view of `len` bytes. */
static inline hb_str hb_str_of(const void *bytes, size_t len) {
  hb_str view;
  view.ptr = (const uint8_t *)bytes;
  view.len = len;
  return view;
}
#endif
#ifdef __cplusplus
}
#endif
#endif
