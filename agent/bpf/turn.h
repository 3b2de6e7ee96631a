/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The turn: payload in, then payload out, is one transaction. */
#pragma once
#include "plain.h"
#include "tls.h"

static __always_inline void count(struct connection *connection, struct counters *counters)
{
	connection->asked = connection->doubt = connection->interim = 0;
	ADD(counters->transactions, 1);
}

static __always_inline void read_client_hello(struct __sk_buff *skb,
					      struct connection *connection, __u32 offset)
{
	struct hello hello = read_hello(skb, offset, 1);
	connection->offered_h2 = hello.h2 != 0;
	connection->resumes = hello.resumes;
}

/* Says what the connection carries, by the first bytes that the client sends. */
static __always_inline void classify(struct __sk_buff *skb, struct connection *connection,
				     struct segment *segment)
{
	__u8 bytes[9] = {};
	__u32 offset = segment->start + segment->fresh;
	connection->stage = PLAIN;
	if (bpf_skb_load_bytes(skb, offset, bytes, 6))
		return;
	if (is_header(bytes) && (bytes[0] == HANDSHAKE_RECORD || connection->elder)) {
		connection->stage = HANDSHAKE;
		connection->in.record = segment->sequence + segment->fresh;
		connection->out.record = connection->out.next;
		connection->out.lost = connection->elder;
		if (bytes[0] == HANDSHAKE_RECORD && bytes[5] == CLIENT_HELLO)
			read_client_hello(skb, connection, offset);
		return;
	}
	if (bytes[0] == 'P' && bytes[1] == 'R' && bytes[2] == 'I' && bytes[3] == ' ' &&
	    bytes[4] == '*' && bytes[5] == ' ')
		connection->mixed = 1; /* HTTP/2's preface */
}

/* The first payload of a turn: does it come while the last answer is still under way? */
static __always_inline void begin_turn(struct connection *connection, struct counters *counters,
				       struct segment *segment)
{
	if (connection->replied && before(segment->acknowledged, connection->answered))
		ADD(counters->irregular, 1);
	connection->asked = 1;
}

static __always_inline void request_plain(struct __sk_buff *skb, struct connection *connection,
					  struct counters *counters, struct segment *segment)
{
	if (!connection->asked) {
		__u32 word = 0;
		begin_turn(connection, counters, segment);
		bpf_skb_load_bytes(skb, segment->start + segment->fresh, &word, 4);
		find_end(skb, connection, segment, word);
	}
	if (has_another(skb, connection, segment)) {
		connection->ends = 0;
		ADD(counters->irregular, 1);
	}
}

/* Payload follows what was a session ticket or else a response. A client that waited for the
 * response acknowledges it and begins a record; one that goes on with its request may do so, too,
 * by chance: then it matters whether this server sends tickets, and how long the record is: a body's
 * is rarely as short as a request's head. */
static __always_inline void settle_doubt(struct connection *connection, struct counters *counters,
					 struct segment *segment, __u32 former_bytes)
{
	connection->doubt = 0;
	if (before(segment->acknowledged, connection->doubtful)) {
		ADD(counters->tickets, 1);
		return;
	}
	if (connection->in.records.inside || former_bytes >= CONTENT_BYTES_MAX || counters->tickets)
		return;
	if (connection->in.records.first_bytes > RUN_RECORD_BYTES_MAX)
		return;
	connection->tickets = 0;
	connection->answered = connection->doubtful;
	connection->replied = 1;
	count(connection, counters);
}

static __always_inline void request_tls(struct __sk_buff *skb, struct connection *connection,
					struct counters *counters, struct segment *segment)
{
	struct records *records = &connection->in.records;
	__u32 former_bytes = connection->record_bytes;
	if (!connection->asked)
		connection->record_bytes = connection->run = 0;
	walk(skb, connection, &connection->in, segment, 1);
	if (records->irregular)
		ADD(counters->irregular, 1);
	if (!records->application)
		return;
	if (connection->doubt)
		settle_doubt(connection, counters, segment, former_bytes);
	if (!connection->asked)
		begin_turn(connection, counters, segment);
}

static __always_inline void request(struct __sk_buff *skb, struct connection *connection,
				    struct counters *counters, struct segment *segment)
{
	if (connection->stage == NEW)
		classify(skb, connection, segment);
	if (connection->stage == PLAIN)
		request_plain(skb, connection, counters, segment);
	else
		request_tls(skb, connection, counters, segment);
	close_hole(&connection->in);
	if (connection->mixed)
		ADD(counters->irregular, 1);
}

/* False for an interim answer, after which the request goes on. */
static __always_inline int answers_plain(struct __sk_buff *skb, struct connection *connection,
					 struct counters *counters, struct segment *segment)
{
	__u8 line[12];
	if (!connection->http)
		return 1;
	if (bpf_skb_load_bytes(skb, segment->start + segment->fresh, line, sizeof(line)) ||
	    line[0] != 'H' || line[1] != 'T' || line[2] != 'T' || line[3] != 'P' || line[4] != '/')
		return 1;
	if (line[9] == '1' && line[11] == '1')
		connection->mixed = 1; /* 101: from here on another protocol */
	else if (line[9] == '1')
		return 0;
	if (!connection->asked)
		ADD(counters->irregular, 1); /* a second response to one turn */
	return 1;
}

/* The server's hello settles what the client offered, except in TLS 1.3, which hides it. */
static __always_inline void settle_protocol(struct __sk_buff *skb, struct connection *connection,
					    struct segment *segment)
{
	__u8 bytes[6];
	__u32 offset = segment->start + segment->fresh;
	if (!connection->offered_h2 || connection->server_spoke)
		return;
	connection->server_spoke = 1;
	if (bpf_skb_load_bytes(skb, offset, bytes, 6) || bytes[5] != SERVER_HELLO)
		return;
	struct hello hello = read_hello(skb, offset, 0);
	connection->offered_h2 = hello.h2 != 0;
	connection->mixed |= hello.h2 == 1;
}

/* TLS 1.3's servers send session tickets after the handshake, each packet one or two of a length.
 * The first may look like a response to what the client has asked meanwhile: then it is in doubt
 * until the next packet. */
static __always_inline int is_ticket(struct connection *connection, struct counters *counters)
{
	__u32 bytes = equal_records(&connection->out);
	connection->tickets--;
	if (!connection->ticket_bytes && bytes >= TICKET_BYTES_MIN && bytes <= TICKET_BYTES_MAX) {
		connection->ticket_bytes = bytes;
		if (connection->asked && connection->out.records.count == 1) {
			connection->doubt = 1;
			connection->doubtful = connection->out.next;
		} else {
			ADD(counters->tickets, 1);
		}
		return 1;
	}
	if (bytes && bytes == connection->ticket_bytes) {
		if (connection->doubt)
			ADD(counters->tickets, 1);
		connection->doubt = 0;
		return 1;
	}
	connection->tickets = 0;
	return 0;
}

/* "100 Continue" by its length. Never twice for one request: then the one before was a response. */
static __always_inline int is_interim(struct connection *connection, struct counters *counters)
{
	__u32 bytes = equal_records(&connection->out);
	if (!connection->asked || connection->out.records.count != 1 ||
	    !holds(connection, bytes, CONTINUE_BYTES))
		return 0;
	if (connection->interim)
		ADD(counters->transactions, 1);
	connection->interim = 1;
	return 1;
}

static __always_inline int answers_tls(struct __sk_buff *skb, struct connection *connection,
				       struct counters *counters, struct segment *segment)
{
	if (connection->stage == HANDSHAKE)
		settle_protocol(skb, connection, segment);
	walk(skb, connection, &connection->out, segment, 0);
	if (connection->stage == HANDSHAKE || !connection->out.records.application)
		return 0;
	if (connection->tickets && is_ticket(connection, counters))
		return 0;
	return !is_interim(connection, counters);
}

static __always_inline void response(struct __sk_buff *skb, struct connection *connection,
				     struct counters *counters, struct segment *segment)
{
	int answers = connection->stage == PLAIN
			      ? answers_plain(skb, connection, counters, segment)
			      : answers_tls(skb, connection, counters, segment);
	if (!answers)
		return;
	connection->answered = connection->out.next;
	connection->replied = 1;
	if (connection->asked)
		count(connection, counters);
}
