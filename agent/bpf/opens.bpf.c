/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts, for each process of the host, the descriptors that its system calls opened, by kind. Runs
 * at the end of every system call, so whatever opens nothing leaves after one comparison. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PROCESSES_MAX 16384
#define PATH_BYTES 16

enum kind { FILE_, SOCKET, PIPE, DEVICE, OTHER, KINDS };

struct map {
	__u32 type, key_bytes, value_bytes, entries_max, flags;
};

struct opened {
	__u64 by_kind[KINDS];
};

struct map processes SEC("maps") = {
	BPF_MAP_TYPE_HASH, sizeof(__u32), sizeof(struct opened), PROCESSES_MAX, 0,
};

/* One number: what was opened by processes for which there was no room. */
struct map unlisted SEC("maps") = {
	BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(__u64), 1, 0,
};

/* Where the kernel keeps the registers of a system call on x86-64. The numbers that a 32-bit
 * program uses mean other calls, so it is passed over. */
#define NUMBER_AT 120
#define FIRST_AT 112
#define SECOND_AT 104
#define SEGMENT_AT 136
#define SEGMENT_OF_64_BITS 0x33

/* A kind, or that of the path in an argument, with the number of descriptors above it. */
#define TWO 16
#define PATH_IN_FIRST 32
#define PATH_IN_SECOND 64

static __always_inline int what_opens(__u64 call)
{
	switch (call) {
	case 2: case 85: /* open creat */
		return FILE_ | PATH_IN_FIRST;
	case 257: case 437: /* openat openat2 */
		return FILE_ | PATH_IN_SECOND;
	case 304: case 319: case 447: /* open_by_handle_at memfd_create memfd_secret */
		return FILE_;
	case 41: case 43: case 288: /* socket accept accept4 */
		return SOCKET;
	case 53: /* socketpair */
		return SOCKET | TWO;
	case 22: case 293: /* pipe pipe2 */
		return PIPE | TWO;
	case 213: case 291: /* epoll_create epoll_create1 */
	case 253: case 294: /* inotify_init inotify_init1 */
	case 282: case 289: case 284: case 290: /* signalfd signalfd4 eventfd eventfd2 */
	case 283: case 298: /* timerfd_create perf_event_open */
	case 300: case 323: /* fanotify_init userfaultfd */
	case 425: case 434: case 438: /* io_uring_setup pidfd_open pidfd_getfd */
		return OTHER;
	}
	return -1;
}

/* Paths below /dev name devices; those of shared memory and message queues, files. */
static __always_inline int kind_of_path(const void *address)
{
	char path[PATH_BYTES] = {};
	if (bpf_probe_read_user_str(path, sizeof(path), address) < 0)
		return FILE_;
	if (path[0] != '/' || path[1] != 'd' || path[2] != 'e' || path[3] != 'v' || path[4] != '/')
		return FILE_;
	if (path[5] == 's' && path[6] == 'h' && path[7] == 'm' && path[8] == '/')
		return FILE_;
	if (path[5] == 'm' && path[6] == 'q' && path[7] == 'u' && path[8] == 'e')
		return FILE_;
	return DEVICE;
}

static __always_inline void add(__u32 process, __u32 kind, __u64 count)
{
	struct opened *known = bpf_map_lookup_elem(&processes, &process);
	if (!known) {
		struct opened none = {};
		bpf_map_update_elem(&processes, &process, &none, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&processes, &process);
	}
	if (known && kind < KINDS) {
		__sync_fetch_and_add(&known->by_kind[kind], count);
		return;
	}
	__u32 zero = 0;
	__u64 *missed = bpf_map_lookup_elem(&unlisted, &zero);
	if (missed)
		__sync_fetch_and_add(missed, count);
}

SEC("raw_tracepoint/sys_exit")
int finished(struct bpf_raw_tracepoint_args *context)
{
	const char *registers = (const char *)context->args[0];
	__u64 number = 0, segment = 0, address = 0;
	if ((long)context->args[1] < 0)
		return 0;
	bpf_probe_read_kernel(&number, sizeof(number), registers + NUMBER_AT);
	int what = what_opens(number);
	if (what < 0)
		return 0;
	bpf_probe_read_kernel(&segment, sizeof(segment), registers + SEGMENT_AT);
	if ((segment & 0xffff) != SEGMENT_OF_64_BITS)
		return 0;
	int kind = what & 7;
	if (what & (PATH_IN_FIRST | PATH_IN_SECOND)) {
		int at = what & PATH_IN_FIRST ? FIRST_AT : SECOND_AT;
		bpf_probe_read_kernel(&address, sizeof(address), registers + at);
		kind = kind_of_path((const void *)address);
	}
	add(bpf_get_current_pid_tgid() >> 32, kind, what & TWO ? 2 : 1);
	return 0;
}

/* The kernel lends some of its functions only to programs under its own license. */
char terms[] SEC("license") = "GPL";
