/* Holds back what mod_proxy_http2 sends when an attempt has failed. */
#ifndef PROXY_LIVE_HOLD_H
#define PROXY_LIVE_HOLD_H

#include "httpd.h"
#include "apr_buckets.h"

typedef struct live_hold live_hold;

/* Once, when the modules are loaded. */
void live_hold_register(void);
/* Before the handler. NULL: not for this request. */
live_hold *live_hold_begin(request_rec *r);
/* A connection that the handler has used for `r` is being closed, before an answer or behind it. `last`: the
 * handler must not try another. */
void live_hold_closed(request_rec *r, int last);
/* After the handler, which has returned `*status`. 2: the backend's answer has begun (DONE: and was broken off).
 * Otherwise the request is as before, and 1: it was sent. */
int live_hold_end(live_hold *hold, int *status);

/* Whether a read that was successful has met the end of the connection; `waits`: it was a blocking one. */
int live_brigade_ends(const apr_bucket_brigade *bb, int waits);
/* How long the connection's socket waits at most, in microseconds; negative: for ever. */
apr_interval_time_t live_socket_timeout(conn_rec *c);

#endif
