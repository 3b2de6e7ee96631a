/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* TLS from outside: records by their headers, the handshake's end, what HTTP/2 looks like. */
#pragma once
#include "packet.h"

#define CHANGE_CIPHER 20
#define ALERT 21
#define HANDSHAKE_RECORD 22
#define APPLICATION_DATA 23
#define CONTENT_BYTES_MAX 16384
#define RECORD_BYTES_MAX (CONTENT_BYTES_MAX + 2048)

#define RECORDS_MAX 64   /* looked at in one packet */
#define EXTENSIONS_MAX 40
#define EXTENSION_PROTOCOLS 16
#define EXTENSION_VERSIONS 43
#define EXTENSION_RESUMPTION 45
#define CLIENT_HELLO 1
#define SERVER_HELLO 2
#define PROTOCOLS_MAX 4

/* Lengths of encrypted records: content, its type and a tag of 16; up to TLS 1.2 (AES-GCM) eight
 * bytes of nonce and the tag. */
#define TLS13_OVERHEAD 17
#define TLS12_OVERHEAD 24
#define TLS12_CHACHA_OVERHEAD 16
#define TLS13_ALERT_BYTES (2 + TLS13_OVERHEAD)
#define FINISHED_SHA256_BYTES (4 + 32 + TLS13_OVERHEAD)
#define FINISHED_SHA384_BYTES (4 + 48 + TLS13_OVERHEAD)
#define CONTINUE_BYTES 25 /* "HTTP/1.1 100 Continue" and two line ends */
#define H2_SETTINGS_ACK_BYTES 9
#define H2_SETTINGS_BYTES_MAX 64
#define TICKETS_MAX 4
#define TICKET_BYTES_MIN 100
#define TICKET_BYTES_MAX 4096
#define RUN_MIN 3        /* so many small records of one length in a turn are several requests */
#define RUN_RECORD_BYTES_MAX 1024
#define FIRST_RECORDS 8

/* The length of what is encrypted, where the cipher is a usual one. */
static __always_inline int holds(struct connection *connection, __u32 record_bytes, __u32 content)
{
	if (connection->stage == TLS13)
		return record_bytes == content + TLS13_OVERHEAD;
	return record_bytes == content + TLS12_OVERHEAD ||
	       record_bytes == content + TLS12_CHACHA_OVERHEAD;
}

static __always_inline int is_header(const __u8 *header)
{
	__u32 bytes = (__u32)header[3] << 8 | header[4];
	return header[0] >= CHANGE_CIPHER && header[0] <= APPLICATION_DATA + 1 && header[1] == 3 &&
	       header[2] <= 4 && bytes <= RECORD_BYTES_MAX;
}

/* Where the extensions of a ClientHello or ServerHello begin, 0 where the packet ends before. */
static __always_inline __u32 extensions(struct __sk_buff *skb, __u32 hello, int clients)
{
	__u8 byte, two[2];
	__u32 offset = hello + 43; /* header, type, length, version, random */
	if (bpf_skb_load_bytes(skb, offset, &byte, 1))
		return 0;
	offset += 1 + byte;
	if (!clients)
		return offset + 2 + 1 + 2; /* cipher, compression, length */
	if (bpf_skb_load_bytes(skb, offset, two, 2))
		return 0;
	offset += 2 + ((__u32)two[0] << 8 | two[1]);
	if (bpf_skb_load_bytes(skb, offset, &byte, 1))
		return 0;
	return offset + 1 + byte + 2;
}

/* Whether the protocols in the extension at the offset hold HTTP/2. */
static __always_inline int lists_h2(struct __sk_buff *skb, __u32 offset)
{
	offset += 2;
	for (int i = 0; i < PROTOCOLS_MAX; i++) {
		__u8 name[3];
		if (bpf_skb_load_bytes(skb, offset, name, 3))
			return 0;
		if (name[0] == 2 && name[1] == 'h' && name[2] == '2')
			return 1;
		offset += 1 + name[0];
	}
	return 0;
}

/* Goes through the extensions of a hello. `h2`: whether HTTP/2 may be spoken: 1 where the hello says
 * so, 0 where not, -1 where it does not tell (too long for one packet, or an answer of TLS 1.3).
 * `resumes`: the client knows what to do with a session ticket. */
struct hello {
	int h2;
	int resumes;
};

static __always_inline struct hello read_hello(struct __sk_buff *skb, __u32 start, int clients)
{
	struct hello hello = {.h2 = -1, .resumes = 1};
	__u8 extension[4];
	__u32 protocols = 0, versions = 0, modes = 0;
	__u32 offset = extensions(skb, start, clients);
	if (!offset)
		return hello;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (bpf_skb_load_bytes(skb, offset, extension, 4)) {
			if (offset > skb->len && !protocols)
				return hello;
			break;
		}
		/* What is no extension's number is past the end, in the next message or record. */
		if (extension[0] == CHANGE_CIPHER || extension[0] == HANDSHAKE_RECORD)
			break;
		offset += 4;
		if (extension[0] == 0 && extension[1] == EXTENSION_PROTOCOLS)
			protocols = offset;
		else if (extension[0] == 0 && extension[1] == EXTENSION_VERSIONS)
			versions = offset;
		else if (extension[0] == 0 && extension[1] == EXTENSION_RESUMPTION)
			modes = offset;
		offset += (__u32)extension[2] << 8 | extension[3];
	}
	if (protocols)
		hello.h2 = lists_h2(skb, protocols);
	else
		hello.h2 = !clients && versions ? -1 : 0;
	hello.resumes = modes != 0;
	return hello;
}

/* A record of the client's. */
static __always_inline void take_request_record(struct connection *connection, __u8 type,
						__u32 bytes, struct records *records)
{
	if (connection->stage == HANDSHAKE) {
		if (type == CHANGE_CIPHER)
			connection->ciphered = 1;
		else if (type == HANDSHAKE_RECORD && connection->ciphered)
			connection->stage = TLS12; /* the client's Finished */
		if (type != APPLICATION_DATA)
			return;
		if (connection->server_ciphered) {
			/* TLS 1.3 hides its handshake: a certificate of the client's, its proof, and
			 * Finished, whose length tells. */
			if (bytes == FINISHED_SHA256_BYTES || bytes == FINISHED_SHA384_BYTES) {
				connection->stage = TLS13;
				connection->tickets = connection->resumes ? TICKETS_MAX : 0;
			} else {
				connection->first_records++;
			}
			return;
		}
		/* Data in the first flight, or a connection seen from its middle on. */
		records->irregular |= connection->ciphered;
		connection->stage = connection->ciphered ? TLS13 : TLS12;
	}
	if (type != APPLICATION_DATA)
		return;
	if (connection->stage == TLS13 && bytes == TLS13_ALERT_BYTES)
		return;
	if (!records->count)
		records->first_bytes = bytes;
	records->application = 1;
	records->count++;
	records->last_bytes = bytes;
	if (connection->offered_h2 && connection->first_records < FIRST_RECORDS) {
		if (holds(connection, bytes, H2_SETTINGS_ACK_BYTES))
			connection->mixed = 1;
		connection->first_records++;
	}
	connection->small_first = 0;
	if (bytes > RUN_RECORD_BYTES_MAX || bytes != connection->record_bytes)
		connection->run = 0;
	else if (++connection->run == RUN_MIN - 1)
		records->irregular = 1;
	connection->record_bytes = bytes;
}

/* TLS 1.3 hides the choice of the protocol, but not its length: the first encrypted record holds
 * "h2" in nine bytes, "http/1.1" in fifteen, or neither, and at most two empty extensions. */
static __always_inline void guess_protocol(struct connection *connection, __u32 bytes)
{
	__u32 extensions_bytes = bytes - TLS13_OVERHEAD - 6;
	if (!connection->offered_h2)
		return;
	if (extensions_bytes == 9 || extensions_bytes == 13 || extensions_bytes == 17)
		connection->mixed = 1;
	else if (extensions_bytes <= 23 && extensions_bytes % 4 != 2)
		connection->offered_h2 = 0;
}

/* A record of the server's. */
static __always_inline void take_response_record(struct connection *connection, __u8 type,
						 __u32 bytes, struct records *records)
{
	if (type != APPLICATION_DATA)
		return;
	if (connection->stage == HANDSHAKE) {
		if (!connection->server_ciphered)
			guess_protocol(connection, bytes);
		connection->server_ciphered = 1;
		return;
	}
	if (connection->stage == TLS13 && bytes == TLS13_ALERT_BYTES)
		return;
	if (!records->count)
		records->first_bytes = bytes;
	records->application = 1;
	records->count++;
	records->last_bytes = bytes;
	if (connection->offered_h2 && connection->first_records < FIRST_RECORDS) {
		/* HTTP/2's settings come before the client asks for anything, or are followed by
		 * more before it says anything else. */
		if (connection->small_first)
			connection->mixed = 1;
		if (!connection->asked && !connection->replied &&
		    bytes <= H2_SETTINGS_BYTES_MAX + TLS12_OVERHEAD)
			connection->mixed = 1;
		connection->small_first =
			bytes <= H2_SETTINGS_BYTES_MAX + TLS12_OVERHEAD &&
			!holds(connection, bytes, CONTINUE_BYTES);
		connection->first_records++;
	}
}

/* Reads on in a record header. 1: it is complete. 0: more bytes are needed. -1: there are none. */
static __always_inline int read_header(struct __sk_buff *skb, struct stream *stream,
				       struct segment *segment)
{
	__u32 at = stream->record - segment->sequence;
	if (at >= segment->bytes)
		return -1;
	if (!stream->have && segment->bytes - at >= 5) {
		stream->record += 5;
		return bpf_skb_load_bytes(skb, segment->start + at, stream->header, 5) ? -1 : 1;
	}
	__u8 byte;
	if (bpf_skb_load_bytes(skb, segment->start + at, &byte, 1))
		return -1;
	stream->record++;
	switch (stream->have++) {
	case 0: stream->header[0] = byte; break;
	case 1: stream->header[1] = byte; break;
	case 2: stream->header[2] = byte; break;
	case 3: stream->header[3] = byte; break;
	default:
		stream->header[4] = byte;
		stream->have = 0;
		return 1;
	}
	return 0;
}

/* Goes through the records that begin in the new part of a segment. */
static __always_inline void walk(struct __sk_buff *skb, struct connection *connection,
				 struct stream *stream, struct segment *segment, int incoming)
{
	struct records *records = &stream->records;
	__u32 fresh = segment->sequence + segment->fresh;
	__builtin_memset(records, 0, sizeof(*records));
	if (stream->lost) {
		__u8 header[5];
		if (bpf_skb_load_bytes(skb, segment->start + segment->fresh, header, 5) ||
		    !is_header(header)) {
			records->application = connection->stage >= TLS12;
			return;
		}
		stream->record = fresh;
		stream->lost = stream->have = 0;
	}
	if (before(fresh, stream->record) && !stream->have) {
		records->inside = 1;
		records->application = stream->open == APPLICATION_DATA;
	}
	for (int i = 0; i < RECORDS_MAX; i++) {
		int complete = read_header(skb, stream, segment);
		if (complete < 0)
			return;
		if (!complete)
			continue;
		if (!is_header(stream->header)) {
			stream->lost = 1;
			return;
		}
		__u32 bytes = (__u32)stream->header[3] << 8 | stream->header[4];
		__u8 type = stream->header[0];
		__u8 stage = connection->stage;
		stream->record += bytes;
		if (incoming)
			take_request_record(connection, type, bytes, records);
		else
			take_response_record(connection, type, bytes, records);
		/* What belongs to the handshake or is an alert does not become data in the middle. */
		stream->open = type;
		if (stage == HANDSHAKE && connection->stage == TLS13 && !records->count)
			stream->open = HANDSHAKE_RECORD;
		else if (connection->stage == TLS13 && bytes == TLS13_ALERT_BYTES)
			stream->open = ALERT;
		else if (connection->stage == HANDSHAKE)
			stream->open = HANDSHAKE_RECORD;
	}
	stream->lost = 1;
}

/* The length of the packet's records where it has nothing but whole ones of one length; else 0. */
static __always_inline __u32 equal_records(struct stream *stream)
{
	struct records *records = &stream->records;
	if (records->inside || stream->record != stream->next || stream->have || !records->count)
		return 0;
	if (records->count > 2 || records->first_bytes != records->last_bytes)
		return 0;
	return records->first_bytes;
}
