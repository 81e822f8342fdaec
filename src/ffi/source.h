/* Watches a connection to a backend where its bytes come from the socket. */
#ifndef PROXY_LIVE_SOURCE_H
#define PROXY_LIVE_SOURCE_H

#include "httpd.h"

/* Once, when the modules are loaded. */
void live_source_hook(void);
/* Before the first read from `c`; `conn` lives as long as its pool. */
void live_source_attach(conn_rec *c, void *conn);

/* In Rust. Before a read that does not wait: most often a look whether a pooled connection may be used. */
enum {
    LIVE_SOURCE_KNOWN,          /* in use by this attempt already, or by nobody */
    LIVE_SOURCE_NEW_USE,        /* this is the first look of a new use */
    LIVE_SOURCE_ENDED           /* shut down meanwhile: the read is to fail */
};
int live_source_looks(const void *conn);
/* After a read that has brought nothing, with its outcome; what it is to return. */
apr_status_t live_source_ended(const void *conn, apr_status_t status, int waits);

#endif
