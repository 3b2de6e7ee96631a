/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Where in a packet the payload is, and which of it is new. */
#pragma once
#include "state.h"
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>

#define TCP 6
#define FLAG_FIN 1
#define FLAG_SYN 2
#define FLAG_RST 4
#define IPV6_EXTENSIONS_MAX 4
#define HEADERS_BYTES_MAX 1024

struct segment {
	__u32 sequence; /* of the payload's first byte */
	__u32 acknowledged;
	__u32 start;    /* offset of the payload in the packet */
	__u32 bytes;    /* of payload */
	__u32 fresh;    /* offset in the payload of what has not passed before */
	__u8 flags;
};

/* The bytes of an IPv6 header with its extensions; 0 where TCP does not follow. */
static __always_inline __u32 ipv6_header_bytes(struct __sk_buff *skb)
{
	__u32 offset = 40;
	__u8 next;
	if (bpf_skb_load_bytes(skb, 6, &next, 1))
		return 0;
	for (int i = 0; i < IPV6_EXTENSIONS_MAX && next != TCP; i++) {
		__u8 head[2];
		/* hop-by-hop options, routing, fragment, destination options */
		if (next != 0 && next != 43 && next != 44 && next != 60)
			return 0;
		if (bpf_skb_load_bytes(skb, offset, head, 2))
			return 0;
		offset += next == 44 ? 8 : (head[1] + 1) * 8;
		next = head[0];
	}
	return next == TCP ? offset : 0;
}

/* False where the packet is not TCP, or its headers are not in its first part. */
static __always_inline int parse(struct __sk_buff *skb, struct segment *segment)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;
	struct tcphdr *tcp;
	__u32 offset;
	if ((void *)(ip + 1) > end)
		return 0;
	offset = ip->version == 4 ? ip->ihl * 4 : ipv6_header_bytes(skb);
	if (offset < sizeof(*ip) || offset > HEADERS_BYTES_MAX)
		return 0;
	tcp = data + offset;
	if ((void *)(tcp + 1) > end)
		return 0;
	segment->flags = ((__u8 *)tcp)[13];
	segment->sequence = bpf_ntohl(tcp->seq) + (segment->flags & FLAG_SYN ? 1 : 0);
	segment->acknowledged = bpf_ntohl(tcp->ack_seq);
	segment->start = offset + tcp->doff * 4;
	segment->bytes = skb->len > segment->start ? skb->len - segment->start : 0;
	return 1;
}

/* Moves the stream on. False where nothing of the segment is new or it leaves a hole. */
static __always_inline int advance(struct stream *stream, struct segment *segment)
{
	__u32 end = segment->sequence + segment->bytes;
	if (before(stream->next, segment->sequence)) {
		if (before(stream->ahead, end))
			stream->ahead = end;
		return 0;
	}
	if (!before(stream->next, end))
		return 0;
	segment->fresh = stream->next - segment->sequence;
	stream->next = end;
	return 1;
}

/* What came ahead of a hole is taken as read once the hole is filled. */
static __always_inline void close_hole(struct stream *stream)
{
	if (before(stream->next, stream->ahead)) {
		stream->next = stream->ahead;
		if (before(stream->record, stream->next))
			stream->lost = 1;
	} else {
		stream->ahead = stream->next;
	}
}
