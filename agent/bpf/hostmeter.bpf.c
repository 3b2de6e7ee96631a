/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts, for each control group of the host, what its sockets receive and send, and on the TCP
 * connections that it accepted, how often a request was answered. It never holds a packet back. */
#include "turn.h"

#define AF_INET 2
#define PASS 1

/* The compiler would join the reads of two branches into one at a computed offset, which the
 * verifier does not allow: each word is read on its own. */
#define COPY_ADDRESS(to, from)                             \
	do {                                               \
		_Pragma("unroll") for (int word = 0; word < 4; word++) {     \
			__u32 read = (from)[word];         \
			asm volatile("" : "+r"(read));     \
			(to)[word] = read;                 \
		}                                          \
	} while (0)

/* What is known of a socket's connection. One that is older than this program is found out at its
 * first payload: it was accepted where something listens on its own address. */
static __always_inline struct connection *elder(struct __sk_buff *skb, struct bpf_sock *sk,
						struct segment *segment)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *listener;
	__u16 port = bpf_htons(sk->src_port);
	__u32 bytes = sizeof(tuple.ipv6);
	if (sk->family == AF_INET) {
		tuple.ipv4.daddr = sk->src_ip4;
		tuple.ipv4.dport = port;
		bytes = sizeof(tuple.ipv4);
	} else {
		COPY_ADDRESS(tuple.ipv6.daddr, sk->src_ip6);
		tuple.ipv6.dport = port;
	}
	struct connection *connection =
		bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!connection)
		return 0;
	connection->role = OPENED;
	listener = bpf_skc_lookup_tcp(skb, &tuple, bytes, BPF_F_CURRENT_NETNS, 0);
	if (listener) {
		if (listener->state == BPF_TCP_LISTEN)
			connection->role = ACCEPTED;
		bpf_sk_release(listener);
	}
	connection->elder = 1;
	connection->in.next = connection->in.ahead = segment->sequence;
	connection->out.next = connection->out.ahead = segment->acknowledged;
	return connection;
}

static __always_inline void list(struct __sk_buff *skb, struct connection *connection,
				 struct counters *counters, struct bpf_sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->state == BPF_TCP_LISTEN)
		return;
	struct peer peer = {.cgroup = bpf_skb_cgroup_id(skb)};
	if (sk->family == AF_INET) {
		/* As an IPv6 socket would show it. */
		peer.address[2] = bpf_htonl(0xffff);
		peer.address[3] = sk->dst_ip4;
	} else {
		COPY_ADDRESS(peer.address, sk->dst_ip6);
	}
	connection->listed = 1;
	if (!connection->elder)
		ADD(counters->accepted, 1);
	/* Its end may have been told before its first packet is seen here. */
	if (sk->state == BPF_TCP_ESTABLISHED && bpf_map_update_elem(&peers, &cookie, &peer, BPF_ANY))
		ADD(counters->unlisted, 1);
}

/* The connection's last packets: nothing can follow that would settle a doubt. */
static __always_inline void end(struct __sk_buff *skb, struct connection *connection,
				struct counters *counters)
{
	if (connection->doubt && connection->asked)
		count(connection, counters);
	if (connection->elder) {
		__u64 cookie = bpf_get_socket_cookie(skb);
		bpf_map_delete_elem(&peers, &cookie);
	}
}

/* The last packet of a handshake may bring the first payload, before there is a connection. */
static __always_inline struct connection *keep_early(struct segment *segment)
{
	__u32 zero = 0;
	struct connection *connection = bpf_map_lookup_elem(&early, &zero);
	if (!connection)
		return 0;
	__builtin_memset(connection, 0, sizeof(*connection));
	connection->in.next = connection->in.ahead = segment->sequence;
	connection->out.next = connection->out.ahead = segment->acknowledged;
	connection->role = ACCEPTED;
	connection->answered = segment->sequence;
	return connection;
}

/* The connection of a packet that belongs to none that is known. */
static __always_inline struct connection *unknown(struct __sk_buff *skb, struct bpf_sock *sk,
						  struct segment *segment)
{
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != TCP || !parse(skb, segment) || !segment->bytes)
		return 0;
	if (sk->state == BPF_TCP_LISTEN)
		return keep_early(segment);
	return elder(skb, sk, segment);
}

static __always_inline void follow(struct __sk_buff *skb, struct bpf_sock *sk,
				   struct counters *counters, int incoming)
{
	struct segment segment = {};
	struct connection *connection = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (connection) {
		if (connection->role != ACCEPTED || !parse(skb, &segment))
			return;
	} else {
		if (!incoming)
			return;
		connection = unknown(skb, sk, &segment);
		if (!connection || connection->role != ACCEPTED)
			return;
	}
	if (!connection->listed)
		list(skb, connection, counters, sk);
	if (segment.bytes && incoming && advance(&connection->in, &segment))
		request(skb, connection, counters, &segment);
	else if (segment.bytes && !incoming && advance(&connection->out, &segment))
		response(skb, connection, counters, &segment);
	if (segment.flags & (FLAG_FIN | FLAG_RST))
		end(skb, connection, counters);
}

static __always_inline int see(struct __sk_buff *skb, int incoming)
{
	struct counters *counters = counters_of(bpf_skb_cgroup_id(skb));
	struct bpf_sock *sk = skb->sk;
	if (!counters)
		return PASS;
	if (incoming) {
		ADD(counters->received_bytes, skb->len);
		ADD(counters->received_packets, 1);
	} else {
		ADD(counters->sent_bytes, skb->len);
		ADD(counters->sent_packets, 1);
	}
	if (sk)
		follow(skb, sk, counters, incoming);
	return PASS;
}

SEC("cgroup_skb/ingress")
int received(struct __sk_buff *skb)
{
	return see(skb, 1);
}

SEC("cgroup_skb/egress")
int sent(struct __sk_buff *skb)
{
	return see(skb, 0);
}

/* A handshake is over: from here on the connection is followed. */
static __always_inline void accept(struct bpf_sock_ops *event)
{
	__u32 zero = 0;
	struct bpf_sock *sk = event->sk;
	struct connection *connection, *first;
	if (!sk)
		return;
	connection = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!connection)
		return; /* its first payload will make up for it */
	first = bpf_map_lookup_elem(&early, &zero);
	if (first && first->role == ACCEPTED && first->answered == event->rcv_nxt) {
		__builtin_memcpy(connection, first, sizeof(*connection));
		first->role = UNKNOWN;
	} else {
		connection->in.next = connection->in.ahead = event->rcv_nxt;
		connection->out.next = connection->out.ahead = event->snd_nxt;
		connection->role = ACCEPTED;
	}
	bpf_sock_ops_cb_flags_set(event, event->bpf_sock_ops_cb_flags |
					 BPF_SOCK_OPS_STATE_CB_FLAG);
}

SEC("sockops")
int connected(struct bpf_sock_ops *event)
{
	if (event->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		accept(event);
	} else if (event->op == BPF_SOCK_OPS_STATE_CB && event->args[0] == BPF_TCP_ESTABLISHED) {
		__u64 cookie = bpf_get_socket_cookie(event);
		bpf_map_delete_elem(&peers, &cookie);
	}
	return PASS;
}

/* The kernel lends some of its functions only to programs under its own license. */
char terms[] SEC("license") = "GPL";
