/* Watches a connection to a backend where its bytes come from the socket: a bucket in the place of httpd's socket
 * bucket, by the hook that httpd has for it. An answer is one or two reads here; a filter would be called for each
 * line of its header and for the look behind each line, twenty times and more. */
#include "shim.h"

#include "apr_portable.h"
#include <sys/socket.h>

extern module AP_MODULE_DECLARE_DATA proxy_live_module;

/* One for each connection: the type tells the bucket whose it is. */
typedef struct live_source {
    apr_bucket_type_t type;
    const void *conn;
} live_source;

/* Whether nothing has come on an idle connection, neither bytes nor its end. httpd's own read finds out with a buffer
 * of 8 KB from its allocator, which costs more than all else that this module does for a request. */
static int is_quiet(apr_bucket *b)
{
    apr_os_sock_t fd;
    char byte;

    return apr_os_sock_get(&fd, b->data) == APR_SUCCESS && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0
           && APR_STATUS_IS_EAGAIN(errno);
}

static apr_status_t read_socket(apr_bucket *b, const char **str, apr_size_t *len, apr_read_type_e block)
{
    const live_source *source = (const live_source *)b->type;
    apr_status_t rv;

    if (block != APR_BLOCK_READ) {
        *str = NULL;
        *len = 0;
        switch (live_source_looks(source->conn)) {
        case LIVE_SOURCE_ENDED:
            return APR_EOF;
        case LIVE_SOURCE_NEW_USE:
            if (is_quiet(b)) {
                return APR_EAGAIN;
            }
        }
    }
    rv = apr_bucket_type_socket.read(b, str, len, block);
    if (rv == APR_SUCCESS && *len > 0) {
        /* What was read has taken this bucket's place; behind it is a new one for what is still to come. */
        apr_bucket *next = APR_BUCKET_NEXT(b);

        if (APR_BUCKET_IS_SOCKET(next)) {
            next->type = &source->type;
        }
        return APR_SUCCESS;
    }
    if (APR_STATUS_IS_EAGAIN(rv)) {
        return rv;
    }
    return live_source_ended(source->conn, rv, block == APR_BLOCK_READ);
}

void live_source_attach(conn_rec *c, void *conn)
{
    live_source *source = apr_palloc(c->pool, sizeof(*source));

    source->type = apr_bucket_type_socket;
    source->type.read = read_socket;
    source->conn = conn;
    ap_set_module_config(c->conn_config, &proxy_live_module, source);
}

/* For each connection, before the first read. */
static apr_status_t insert_bucket(conn_rec *c, apr_bucket_brigade *bb, apr_socket_t *socket)
{
    const live_source *source = ap_get_module_config(c->conn_config, &proxy_live_module);
    apr_bucket *b;

    if (source == NULL) {
        return AP_DECLINED;
    }
    b = apr_bucket_socket_create(socket, c->bucket_alloc);
    b->type = &source->type;
    APR_BRIGADE_INSERT_TAIL(bb, b);
    return APR_SUCCESS;
}

void live_source_hook(void)
{
    ap_hook_insert_network_bucket(insert_bucket, NULL, NULL, APR_HOOK_MIDDLE);
}
