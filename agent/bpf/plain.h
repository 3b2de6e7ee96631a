/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Protocols in the clear: where a request ends, so that a second one in the same turn shows. */
#pragma once
#include "packet.h"

#define HEADER_SCAN_MAX 256
#define CHUNK_BYTES 64
#define RESP_ARGUMENTS_MAX 32
#define RESP_DIGITS_MAX 9

#define WORD(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)

static __always_inline int is_method(__u32 word)
{
	return word == WORD('G', 'E', 'T', ' ') || word == WORD('P', 'O', 'S', 'T') ||
	       word == WORD('P', 'U', 'T', ' ') || word == WORD('H', 'E', 'A', 'D') ||
	       word == WORD('D', 'E', 'L', 'E') || word == WORD('O', 'P', 'T', 'I') ||
	       word == WORD('P', 'A', 'T', 'C');
}

/* Of a request that has no body, as a rule. */
static __always_inline int is_bodiless(__u32 word)
{
	return word == WORD('G', 'E', 'T', ' ') || word == WORD('H', 'E', 'A', 'D') ||
	       word == WORD('D', 'E', 'L', 'E') || word == WORD('O', 'P', 'T', 'I');
}

static __always_inline int method_at(struct __sk_buff *skb, __u32 offset)
{
	__u32 word;
	return !bpf_skb_load_bytes(skb, offset, &word, 4) && is_method(word);
}

/* Whether one of eight bytes is a line feed. */
static __always_inline int has_line_feed(__u64 word)
{
	__u64 difference = word ^ 0x0a0a0a0a0a0a0a0aULL;
	return ((difference - 0x0101010101010101ULL) & ~difference & 0x8080808080808080ULL) != 0;
}

/* The offset in the packet that follows the first blank line of `bytes` of text; 0 where none is
 * found. Only the beginning is looked at: who sends several requests at once sends short ones. */
static __always_inline __u32 blank_line_end(struct __sk_buff *skb, __u32 offset, __u32 bytes)
{
	for (int chunk = 0; chunk < HEADER_SCAN_MAX / CHUNK_BYTES; chunk++) {
		__u64 words[CHUNK_BYTES / 8] = {};
		__u64 loaded = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
		asm volatile("" : "+r"(loaded)); /* what is checked is what is used */
		if (loaded < 4 || loaded > CHUNK_BYTES ||
		    bpf_skb_load_bytes(skb, offset, words, loaded))
			return 0;
		for (int i = 0; i < CHUNK_BYTES / 8; i++) {
			__u64 word = words[i];
			if (!has_line_feed(word))
				continue;
			for (int j = 0; j < 8; j++, word >>= 8) {
				__u16 next;
				if ((word & 0xff) != '\n')
					continue;
				if (bpf_skb_load_bytes(skb, offset + i * 8 + j + 1, &next, 2))
					return 0;
				if (next == ('\r' | '\n' << 8))
					return offset + i * 8 + j + 3;
			}
		}
		offset += loaded;
		bytes -= loaded;
	}
	return 0;
}

/* Reads "<mark><number>\r\n" at the offset, which it moves behind; -1 where it is not there. */
static __always_inline int resp_number(struct __sk_buff *skb, __u32 *offset, __u8 mark)
{
	__u8 bytes[RESP_DIGITS_MAX + 3];
	int number = 0;
	/* "$1\r\n" and four bytes: less cannot follow in a complete command. */
	if (bpf_skb_load_bytes(skb, *offset, bytes, 4) || bytes[0] != mark)
		return -1;
	if (bpf_skb_load_bytes(skb, *offset, bytes, sizeof(bytes))) {
		if (bytes[2] != '\r' || bytes[1] < '0' || bytes[1] > '9')
			return -1;
		*offset += 4;
		return bytes[1] - '0';
	}
	for (int i = 1; i <= RESP_DIGITS_MAX; i++) {
		if (bytes[i] == '\r') {
			*offset += i + 2;
			return number;
		}
		if (bytes[i] < '0' || bytes[i] > '9')
			return -1;
		number = number * 10 + (bytes[i] - '0');
	}
	return -1;
}

/* The offset that follows a command of the Redis protocol; 0 where it cannot be told. */
static __always_inline __u32 resp_end(struct __sk_buff *skb, __u32 offset)
{
	int arguments = resp_number(skb, &offset, '*');
	if (arguments < 1 || arguments > RESP_ARGUMENTS_MAX)
		return 0;
	for (int i = 0; i < RESP_ARGUMENTS_MAX && i < arguments; i++) {
		int bytes = resp_number(skb, &offset, '$');
		if (bytes < 0)
			return 0;
		offset += bytes + 2;
	}
	return offset;
}

/* At the first segment of a turn: notes where its request ends. */
static __always_inline void find_end(struct __sk_buff *skb, struct connection *connection,
				     struct segment *segment, __u32 word)
{
	__u32 offset = segment->start + segment->fresh, end = 0;
	connection->ends = connection->http = 0;
	if (is_method(word)) {
		connection->http = 1;
		if (is_bodiless(word))
			end = blank_line_end(skb, offset, segment->bytes - segment->fresh);
	} else if ((word & 0xff) == '*') {
		end = resp_end(skb, offset);
	} else if (word == WORD('P', 'I', 'N', 'G')) {
		end = offset + 6; /* Redis takes it without the protocol's marks, too */
	}
	if (end) {
		connection->ends = 1;
		connection->ended = segment->sequence + (end - segment->start);
	}
}

/* Whether a second request begins in this segment while the first has not been answered. */
static __always_inline int has_another(struct __sk_buff *skb, struct connection *connection,
				       struct segment *segment)
{
	__u32 at = connection->ended - segment->sequence;
	if (!connection->ends || !before(connection->ended, segment->sequence + segment->bytes))
		return 0;
	if (!connection->http)
		return 1;
	if (before(connection->ended, segment->sequence + segment->fresh))
		return 0; /* a body that goes on */
	return method_at(skb, segment->start + at);
}
