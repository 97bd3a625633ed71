/* What every case shares: the notes, the table, and functions that do as little as is right. A case is a struct behaviour that names what it does
 * otherwise; -DCASE=name chooses one. */
#ifndef KIT_H
#define KIT_H
#define _GNU_SOURCE
#include "hotbay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef CASE
#error "choose a case: -DCASE=name"
#endif
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#ifndef MANIFEST
#define MANIFEST "{\"manifest\":1,\"name\":\"" TEXT(CASE) "\",\"version\":\"1.0\",\"sdk\":\"c\",\"handlers\":[{\"name\":\"h\",\"path\":\"/" TEXT(CASE) "\"}]}"
#endif
#ifndef MINOR
#define MINOR HB_ABI_MINOR
#endif
#if defined NAME_SIZE || defined NOTE_FLAGS /* By hand: the header's helper makes none that are wrong, or of a newer header. */
#ifndef NAME_SIZE
#define NAME_SIZE 7
#endif
#ifndef NOTE_FLAGS
#define NOTE_FLAGS HB_MOD_PANIC_UNWIND
#endif
HB_IN_SECTION(".note.hotbay") static const struct {
  hb_note abi;
  uint16_t major, minor;
  uint32_t flags;
  hb_note manifest;
  char text[(sizeof MANIFEST + 3) / 4 * 4];
} notes_by_hand = {{NAME_SIZE, 8, 2, "Hotbay"}, HB_ABI_MAJOR, MINOR, NOTE_FLAGS, {NAME_SIZE, sizeof MANIFEST, 1, "Hotbay"}, MANIFEST};
#elif !defined NO_NOTES
HB_MODULE_NOTES_FOR(MINOR, MANIFEST);
#endif

struct behaviour {
  const hb_module *(*entry)(void); /* Instead of the table. */
  hb_rc (*create)(const hb_config *, hb_h, void **);
  hb_rc (*poll_instance)(void *, hb_h);
  hb_rc (*stop)(void *, hb_h);
  void (*destroy)(void *);
  hb_rc (*start)(void *, hb_h, const hb_request *, void **);
  hb_rc (*poll)(void *, hb_h);
  void (*drop)(void *, int32_t);
};
#define BEHAVIOUR __attribute__((unused)) static const struct behaviour

__attribute__((unused)) static const hb_host *host;

/* --- as little as is right --- */

/* An answer with a text that is copied. */
__attribute__((unused)) static hb_rc say(hb_h call, const char *text) {
  static const hb_header headers[] = {HB_HEADER_INIT("content-type", "text/plain; charset=utf-8")};
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY, .status = 200, .n_headers = 1, .headers = headers};
  response.body.ptr = (const uint8_t *)text;
  response.body.len = strlen(text);
  const hb_rc rc = host->respond(call, &response);
  return rc < 0 ? rc : HB_READY;
}

/* The head of a streamed answer, with a first piece that is copied. */
__attribute__((unused)) static hb_rc begin(hb_h call, const char *first, uint32_t more_flags, const hb_header *headers, uint32_t n_headers) {
  hb_response response = {.size = sizeof response, .flags = HB_RESP_COPY | HB_RESP_STREAM | more_flags, .status = 200,
                          .n_headers = n_headers, .headers = headers};
  response.body.ptr = (const uint8_t *)first;
  response.body.len = strlen(first);
  return host->respond(call, &response);
}

static hb_rc usual_create(const hb_config *config, hb_h self, void **instance) {
  (void)config, (void)self;
  *instance = NULL;
  return HB_READY;
}
static hb_rc usual_instance(void *instance, hb_h self) {
  (void)instance, (void)self;
  return HB_READY;
}
static void usual_destroy(void *instance) { (void)instance; }
static hb_rc usual_start(void *instance, hb_h call, const hb_request *request, void **state) {
  (void)instance, (void)request, (void)state;
  return say(call, "answered\n");
}
/* Before any case's: what must be understood is refused. */
__attribute__((unused)) static hb_rc (*start_of_the_case)(void *, hb_h, const hb_request *, void **);
__attribute__((unused)) static hb_rc checked_start(void *instance, hb_h call, const hb_request *request, void **state) {
  if (request->flags >> 16) {
    host->fail(call, HB_STR("the host asks for what this module does not know"));
    return HB_UNSUPPORTED;
  }
  return start_of_the_case(instance, call, request, state);
}
static hb_rc usual_poll(void *state, hb_h call) {
  (void)state, (void)call;
  return HB_ERR;
}
static void usual_drop(void *state, int32_t why) { (void)state, (void)why; }

#define OR(given, usual) ((given) ? (given) : (usual))

__attribute__((unused)) static hb_module usual_table(const struct behaviour *what) {
  start_of_the_case = OR(what->start, usual_start);
  const hb_module table = {
      .size = sizeof table,
      .abi_minor = HB_ABI_MINOR,
      .flags = HB_MOD_PANIC_UNWIND,
      .n_handlers = 1,
      .create = OR(what->create, usual_create),
      .poll_instance = OR(what->poll_instance, usual_instance),
      .stop = OR(what->stop, usual_instance),
      .destroy = OR(what->destroy, usual_destroy),
      .start = checked_start,
      .poll = OR(what->poll, usual_poll),
      .drop = OR(what->drop, usual_drop),
  };
  return table;
}

/* --- threads, for cases that need one --- */

__attribute__((unused)) static void pause_ms(long milliseconds) {
  const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

#define ENTRY                                                          \
  const hb_module *hotbay_module_v1(const hb_host *given) {            \
    static hb_module table;                                            \
    host = given;                                                      \
    if (CASE.entry)                                                    \
      return CASE.entry();                                             \
    table = usual_table(&CASE);                                        \
    return &table;                                                     \
  }

#endif
