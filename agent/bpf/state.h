/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What is kept: per cgroup what the agent reads, per accepted connection what a count needs. */
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define CGROUPS_MAX 4096
#define PEERS_MAX 65536

/* Per cgroup and processor. The agent reads these as 64-bit words in this order; a new one goes to
 * the end. */
struct counters {
	__u64 received_bytes;
	__u64 sent_bytes;
	__u64 received_packets;
	__u64 sent_packets;
	__u64 accepted;     /* connections that were accepted and on which something was sent */
	__u64 transactions; /* payload in, then payload out */
	__u64 irregular;    /* signs of several requests at once: transactions may be more */
	__u64 unlisted;     /* accepted connections that found no room in `peers` */
	__u64 tickets;      /* TLS connections that were surely sent a session ticket */
};

enum role { UNKNOWN, ACCEPTED, OPENED };

enum stage {
	NEW,
	PLAIN,       /* not TLS */
	HANDSHAKE,   /* TLS, no application data from the client yet */
	TLS12,       /* application data, up to TLS 1.2 or seen from the middle on */
	TLS13,
};

/* What the TLS records were that began in the last packet. Kept here and not on the stack, where
 * the verifier would tell every value apart. */
struct records {
	__u32 count;       /* of application data */
	__u16 first_bytes; /* length of the first of these, and of the last */
	__u16 last_bytes;
	__u8 application;  /* there is application data in the packet */
	__u8 inside;       /* the packet begins inside a record */
	__u8 irregular;
	__u8 unused;
};

/* One direction of a connection, in TCP sequence numbers. */
struct stream {
	__u32 next;    /* follows what has passed in order */
	__u32 ahead;   /* follows what has passed out of order; == next where nothing has */
	__u32 record;  /* where the next byte of a TLS record header is expected */
	__u8 header[5];
	__u8 have;     /* bytes of `header` that have been read */
	__u8 open;     /* the type of the last record */
	__u8 lost;     /* records can no longer be told apart */
	struct records records;
};

struct connection {
	struct stream in;
	struct stream out;
	__u32 answered;     /* follows the last byte of the response: a next request acknowledges it */
	__u32 ended;        /* where the request that began this turn ends */
	__u32 doubtful;     /* follows what was a session ticket or else a response */
	__u16 record_bytes; /* length of the turn's last record, to notice a run of equal ones */
	__u16 ticket_bytes; /* length of the first ticket's record; the others are as long */
	__u8 run;           /* how many of these */
	__u8 role;
	__u8 stage;
	__u8 listed;        /* counted as accepted, and its peer noted */
	__u8 asked;         /* payload came in and was not answered yet */
	__u8 replied;       /* `answered` holds */
	__u8 ends;          /* `ended` holds */
	__u8 doubt;         /* `doubtful` holds */
	__u8 interim;       /* the last answer looked like "100 Continue" */
	__u8 mixed;         /* carries requests beside each other, so all its counts are too low */
	__u8 http;          /* HTTP/1 in the clear */
	__u8 ciphered;      /* the client has changed to its cipher */
	__u8 server_ciphered; /* the server has sent a record of type application data */
	__u8 tickets;       /* so many session tickets may be sent next */
	__u8 offered_h2;    /* HTTP/2 may be spoken below TLS */
	__u8 resumes;       /* the client takes session tickets */
	__u8 server_spoke;
	__u8 first_records; /* application records sent, counted up to a few */
	__u8 small_first;   /* ... of which the first was as small as HTTP/2's settings */
	__u8 elder;         /* older than this program: nothing tells of its end but its packets */
};

/* What a connection's peer is, by the connection's cookie. */
struct peer {
	__u64 cgroup;
	__u32 address[4];
};

struct map_definition {
	__u32 type;
	__u32 key_bytes;
	__u32 value_bytes;
	__u32 entries_max;
	__u32 flags;
};

/* Not an LRU: an evicted count would be lost. Where there is no room, key 0 takes it. */
struct map_definition SEC("maps") counted = {
	BPF_MAP_TYPE_PERCPU_HASH, sizeof(__u64), sizeof(struct counters), CGROUPS_MAX,
	BPF_F_NO_PREALLOC,
};
/* Belongs to the sockets themselves, and so neither fills up nor outlives them. */
struct map_definition SEC("maps") connections = {
	BPF_MAP_TYPE_SK_STORAGE, sizeof(__u32), sizeof(struct connection), 0, BPF_F_NO_PREALLOC,
};
struct map_definition SEC("maps") peers = {
	BPF_MAP_TYPE_HASH, sizeof(__u64), sizeof(struct peer), PEERS_MAX, BPF_F_NO_PREALLOC,
};
/* Payload that came with the last packet of a handshake: a moment before its connection exists. */
struct map_definition SEC("maps") early = {
	BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(__u32), sizeof(struct connection), 1, 0,
};

#define ADD(counter, amount) __sync_fetch_and_add(&(counter), (amount))

static __always_inline struct counters *counters_of(__u64 cgroup)
{
	struct counters *found = bpf_map_lookup_elem(&counted, &cgroup);
	if (found)
		return found;
	struct counters zero = {};
	bpf_map_update_elem(&counted, &cgroup, &zero, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&counted, &cgroup);
	if (found)
		return found;
	cgroup = 0;
	return bpf_map_lookup_elem(&counted, &cgroup);
}

/* Sequence numbers wrap around. */
static __always_inline int before(__u32 left, __u32 right)
{
	return (__s32)(left - right) < 0;
}
