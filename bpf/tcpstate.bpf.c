// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What runs in the kernel: one program on tracepoint sock:inet_sock_set_state that remembers who
 * opened a connection and sends one record for each thing that happens to it (connect, accept,
 * connect_failed, close, time_wait), not one for each transition. It never loops on input, never
 * blocks, and changes nothing: when something does not fit, it counts it.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

/* At most so many nodes of an ehash chain are looked at; the mean is 1.0, and a load factor of 1 is
 * a full table. */
#define MAX_CHAIN 32

/* struct event, kind; the numbers are those of package event. */
enum {
	CONNECT = 1,
	ACCEPT = 2,
	CONNECT_FAILED = 3,
	CLOSE = 4,
	TIME_WAIT = 5,
	OPEN = 7,     /* a connection or timewait socket that is there at the end */
	EXISTING = 8, /* ... that was there at the beginning */
	TIME_WAIT_END = 9,
	BIND_FAILED = 10,
};

enum {
	OUTBOUND = 1,
	INBOUND = 2,
};

enum {
	CLOSED_LOCAL = 1,
	CLOSED_REMOTE = 2,
	CLOSED_BOTH = 3,
	CLOSED_RESET = 4,
};

enum {
	EXACT = 1,
	INFERRED = 2,
};

enum {
	OWNER_UNKNOWN,
	OWNER_CONNECT,
	OWNER_LISTENER,
	OWNER_CLOSER,
	OWNER_CGROUP,
	OWNER_HOLDER,
};

enum {
	PORTS_EXHAUSTED = 1,
	TUPLE_IN_USE = 2,
	TIME_WAIT_OVERFLOW = 3,
	EXPIRED = 4,
	REUSED = 5,
	KILLED = 6,
	NO_ROUTE = 7,
	NOT_LOCAL = 8,
	PORT_TAKEN = 9,
};

/* Beside errnos. */
enum {
	UNKNOWN_ERROR = 0xfffe,
	CANCELED = 0xffff,
};

/* Beside substates of timewait sockets. */
enum {
	NO_TIMEWAIT = 0xfe, /* the kernel had to make one, and could not */
	UNKNOWN_SUBSTATE = 0xff,
};

/* struct event, flags */
enum {
	PREEXISTING = 1,
	DIRECTION_INFERRED = 2,
	COUNTED = 4,
	IN_CENSUS = 8,
	AUTO_PORT = 16,
	TIMESTAMPS = 32,
};

/* Set when the window has ended: nothing opens any more, what ends is reported as it was, open. */
volatile __u32 stopping;

/* Not 0: a self-test is going on, and only its connects, to this port, are looked at. */
volatile __u32 testing_port;

/* How many entries map conns has. */
static volatile __u64 conns_used;

/* Set before load. */
/* Bytes in the ring at which the reader is woken, and how many CPUs' records may cross that at
 * once. */
const volatile __u32 wake_mark = 2 << 20;
const volatile __u32 wake_window = 1280;
/* False under lockdown=confidentiality, which refuses bpf_probe_read_kernel. */
const volatile bool probe_reads = true;
/* Entries of conns up to which a dead one is left for reuse. */
const volatile __u32 conns_lazy = 32768;

struct owner {
	__u64 cgroup_id;
	__u32 pid;
	__u8 basis;
	__u8 reserved[3];
	__u8 comm[16];
};

/* The record that user space gets. Addresses are IPv6, IPv4 mapped; ports and states are in host
 * order. */
struct event {
	__u64 time_ns;	      /* CLOCK_MONOTONIC */
	__u64 start_ns;	      /* connect() called or connection accepted; 0: before tracing */
	__u64 established_ns; /* 0: never, or before tracing */
	struct owner owner;
	__u64 sent_bytes;
	__u64 received_bytes;
	__u8 src[16];
	__u8 dst[16];
	__u32 netns;
	__u32 segs_out;
	__u32 segs_in;
	__u32 data_segs_out;
	__u32 data_segs_in;
	__u32 retransmits;
	__s32 jiffies; /* since data were sent last; until a timewait socket expires */
	__u16 sport;
	__u16 dport;
	__u16 error;
	__u8 kind;
	__u8 direction;
	__u8 old_state;
	__u8 new_state;
	__u8 substate;
	__u8 closed_by;
	__u8 basis;
	__u8 cause;
	__u8 flags;
	__u8 reserved[5];
};
_Static_assert(sizeof(struct event) == 152, "no gaps in struct event");

/* struct conn, ended: as of a connection that a census has announced, or not. */
enum {
	ENDED_UNANNOUNCED = 1,
	ENDED_ANNOUNCED = 2,
};

/* What is remembered of a connection from its start to its end. */
struct conn {
	struct owner owner;
	__u64 start_ns;
	__u64 established_ns;
	__u32 hash; /* skc_hash at SYN_SENT: unchanged at CLOSE when no port was found; then at
		       ESTABLISHED */
	__u16 bound_port; /* skc_num at SYN_SENT: bind() came before connect() */
	__u8 direction;
	__u8 state; /* the last one that was handled */
	bool live;  /* false: ended, the entry waits for the next connection in the same socket */
	bool in_census;
	bool direction_inferred;
	__u8 timewait_substate; /* what inet_twsk_alloc() told: the state, or NO_TIMEWAIT */
	__u8 ended; /* its end was told, ENDED_ says how: a census on another CPU follows that */
	__u8 reserved[3];
	__u64 timewait; /* ... and the address of the timer */
};

struct listener_key {
	__u8 addr[16]; /* all zero: any address */
	__u32 netns;
	__u32 port;
};

/* Owner of a listening socket; the one before comes back when listen() fails after the state was
 * set. */
struct listener {
	struct owner owner;
	struct owner before;
	__u64 socket;
	bool gone; /* closed; others may listen there still (SO_REUSEPORT) */
	__u8 reserved[7];
};

struct loss_key {
	__u64 cgroup_id;
	__u8 comm[16];
	__u8 src[16];
	__u8 dst[16];
	__u32 netns;
	__u16 sport; /* inbound only */
	__u16 dport; /* outbound only */
	__u16 error;
	__u8 kind;
	__u8 direction;
	__u8 closed_by;
	__u8 basis;
	__u8 cause;
	__u8 flags;
};

struct loss {
	__u64 count;
	__u64 sent_bytes;
	__u64 received_bytes;
};

struct counters {
	__u64 ring_full;	/* records that went to map losses instead */
	__u64 losses_full;	/* ... and found no room there either: not even their destination is
				   known */
	__u64 conns_full;	/* connections that could not be remembered */
	__u64 unseen;		/* connections whose end no program was called for */
	__u64 rescued;		/* transitions that a further copy of the program handled */
	__u64 chain_cut;	/* walks of hash chains that were given up */
	__u64 timewaits_found;	/* timewait sockets that a census met first */
	__u64 timewaits_missed; /* ... and those whose end only a census noticed */
	__u64 timewaits_full;	/* timewait sockets that could not be remembered */
	__u64 namespaces_full;	/* ... that could not be counted in their namespace */
};

/* To user space. Without wake-ups: a wake-up costs 10 to 100 times the record. The reader has a
 * tick. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
	__type(value, struct event);
} events SEC(".maps");

/* By socket pointer. Written at the start of a connection, dead from ->CLOSE on, which every full
 * socket passes before it is freed. Not an LRU: the oldest connection is the one to keep. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct conn);
} conns SEC(".maps");

/* Who listens where; seeded by user space with listeners that were there before. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* What the ring had no room for, so that totals stay exact. Read and emptied by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct loss_key);
	__type(value, struct loss);
} losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

/* The last transition that was handled of the sockets that share a slot, as a mark: see the second
 * copy. */
#define HANDLED_BITS 16
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << HANDLED_BITS);
	__type(key, __u32);
	__type(value, __u64);
} handled SEC(".maps");

/* Where a pointer becomes a number that can be computed with; one for each copy. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

#define COUNT(field)                                                                               \
	do {                                                                                       \
		__u32 zero_ = 0;                                                                   \
		struct counters *counters_ = bpf_map_lookup_elem(&counts, &zero_);                 \
		if (counters_)                                                                     \
			__sync_fetch_and_add(&counters_->field, 1);                                \
	} while (0)

/* Call only where current is the one who acts: connect(), listen(), close(). The comm of a thread
 * pool's worker says little, so the group leader's is taken. */
static __always_inline void current_owner(struct owner *o, __u8 basis)
{
	__u64 id = bpf_get_current_pid_tgid();

	o->pid = id >> 32;
	o->basis = basis;
	o->cgroup_id = bpf_get_current_cgroup_id();
	if (!probe_reads || (__u32)id == o->pid) {
		bpf_get_current_comm(o->comm, sizeof(o->comm));
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct task_struct *leader = BPF_CORE_READ(task, group_leader);

		bpf_core_read(o->comm, sizeof(o->comm), &leader->comm);
	}
}

static __always_inline bool current_is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return probe_reads && (BPF_CORE_READ(task, flags) & PF_KTHREAD);
}

/* The cgroup of the socket's creator (of the listener's, for an accepted one), right in any
 * context. */
static __always_inline __u64 socket_cgroup(struct sock *sk)
{
	struct sock_cgroup_data___before_5_15 *old = (void *)&sk->sk_cgrp_data;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return sk->sk_cgrp_data.cgroup->kn->id;
	if (probe_reads && bpf_core_field_exists(old->val)) {
		__u64 val = BPF_CORE_READ(old, val);

		if (val && !(val & 1))
			return BPF_CORE_READ((struct cgroup *)val, kn, id);
	}
	return 0;
}

static __always_inline void map_v4(__u8 *addr, __be32 v4)
{
	__u32 *words = (__u32 *)addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = v4;
}

static __always_inline void copy_v6(__u8 *addr, const struct in6_addr *v6)
{
	__u32 *words = (__u32 *)addr;

	words[0] = v6->in6_u.u6_addr32[0];
	words[1] = v6->in6_u.u6_addr32[1];
	words[2] = v6->in6_u.u6_addr32[2];
	words[3] = v6->in6_u.u6_addr32[3];
}

/* An AF_INET6 socket that talks IPv4 has its true addresses in the IPv4 fields. */
static __always_inline bool talks_v4(const struct sock_common *skc)
{
	const struct in6_addr *to = &skc->skc_v6_daddr;

	return skc->skc_family != AF_INET6 || (!to->in6_u.u6_addr32[0] && !to->in6_u.u6_addr32[1] &&
					       to->in6_u.u6_addr32[2] == bpf_htonl(0xffff));
}

static __always_inline void fill_common(struct event *e, const struct sock_common *skc)
{
	if (talks_v4(skc)) {
		map_v4(e->src, skc->skc_rcv_saddr);
		map_v4(e->dst, skc->skc_daddr);
	} else {
		copy_v6(e->src, &skc->skc_v6_rcv_saddr);
		copy_v6(e->dst, &skc->skc_v6_daddr);
	}
	e->dport = bpf_ntohs(skc->skc_dport);
	e->netns = skc->skc_net.net->ns.inum;
}

static __always_inline void fill_addresses(struct event *e, struct sock *sk, struct tcp_sock *tp)
{
	fill_common(e, &sk->__sk_common);
	/* inet_num is 0 again at ->CLOSE, inet_sport is not */
	e->sport = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
}

/* Payload only: bytes_sent counts retransmissions again, bytes_received counts the peer's FIN once
 * it came. */
static __always_inline void fill_counters(struct event *e, struct sock *sk, struct tcp_sock *tp)
{
	bool fin = sk->__sk_common.skc_flags & (1UL << SOCK_DONE);

	e->sent_bytes = tp->bytes_sent - tp->bytes_retrans;
	e->received_bytes = tp->bytes_received - fin;
	e->segs_out = tp->segs_out;
	e->segs_in = tp->segs_in;
	e->data_segs_out = tp->data_segs_out;
	e->data_segs_in = tp->data_segs_in;
	e->retransmits = tp->total_retrans;
	e->jiffies = (__u32)bpf_jiffies64() - tp->lsndtime;
	e->flags |= COUNTED;
}

static __noinline int lose(const struct event *e)
{
	struct loss_key key = {};
	struct loss first = {}, *loss;

	COUNT(ring_full);
	key.cgroup_id = e->owner.cgroup_id;
	__builtin_memcpy(key.comm, e->owner.comm, sizeof(key.comm));
	__builtin_memcpy(key.src, e->src, sizeof(key.src));
	__builtin_memcpy(key.dst, e->dst, sizeof(key.dst));
	key.netns = e->netns;
	if (e->direction == INBOUND)
		key.sport = e->sport;
	else
		key.dport = e->dport;
	key.error = e->error;
	key.kind = e->kind;
	key.direction = e->direction;
	key.closed_by = e->closed_by;
	key.basis = e->basis;
	key.cause = e->cause;
	key.flags = e->flags;

	loss = bpf_map_lookup_elem(&losses, &key);
	if (!loss) {
		bpf_map_update_elem(&losses, &key, &first, BPF_NOEXIST);
		loss = bpf_map_lookup_elem(&losses, &key);
	}
	if (!loss) {
		COUNT(losses_full);
		return 0;
	}
	__sync_fetch_and_add(&loss->count, 1);
	__sync_fetch_and_add(&loss->sent_bytes, e->sent_bytes);
	__sync_fetch_and_add(&loss->received_bytes, e->received_bytes);
	return 0;
}

static __always_inline void send(const struct event *e)
{
	__u64 used = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	bool crossing = used - wake_mark < wake_window;

	if (bpf_ringbuf_output(&events, (void *)e, sizeof(*e),
			       crossing ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP) &&
	    e->kind != OPEN) /* which is no event, and in no total */
		lose(e);
}

static __always_inline void fill_from_conn(struct event *e, const struct conn *c)
{
	if (!c) {
		e->flags |= PREEXISTING;
		return;
	}
	e->owner = c->owner;
	e->direction = c->direction;
	e->start_ns = c->start_ns;
	e->established_ns = c->established_ns;
	if (!c->established_ns)
		e->flags |= PREEXISTING;
	if (c->ended ? c->ended == ENDED_ANNOUNCED : c->in_census)
		e->flags |= IN_CENSUS;
	if (c->direction_inferred)
		e->flags |= DIRECTION_INFERRED;
}

/* Who listens for e's connection: at its address, at any address of its family, at any at all. Of
 * one that is gone only when nobody else does. */
static __always_inline struct listener *find_listener(const struct event *e)
{
	struct listener_key key = {.netns = e->netns, .port = e->sport};
	const __u32 *words = (const __u32 *)e->src;
	struct listener *l, *gone;

	__builtin_memcpy(key.addr, e->src, sizeof(key.addr));
	gone = bpf_map_lookup_elem(&listeners, &key);
	if (gone && !gone->gone)
		return gone;
	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff)) {
		map_v4(key.addr, 0);
		l = bpf_map_lookup_elem(&listeners, &key);
		if (l && !l->gone)
			return l;
		if (!gone)
			gone = l;
	}
	__builtin_memset(key.addr, 0, sizeof(key.addr));
	l = bpf_map_lookup_elem(&listeners, &key);
	return l && (!l->gone || !gone) ? l : gone;
}

/* When nobody is known: the cgroup, from the socket itself. */
static __always_inline void own_by_cgroup(struct owner *o, struct sock *sk)
{
	o->cgroup_id = socket_cgroup(sk);
	o->basis = OWNER_CGROUP;
}

static __always_inline void own_by_listener(struct owner *o, const struct listener *l,
					    struct sock *sk)
{
	if (l && l->owner.basis != OWNER_UNKNOWN)
		*o = l->owner;
	else
		own_by_cgroup(o, sk);
}

/* Nobody saw who opened it: a port that somebody listens on was the accepting end. */
static __always_inline void infer_direction(struct event *e, struct sock *sk)
{
	struct listener *l = find_listener(e);

	e->flags |= DIRECTION_INFERRED;
	e->direction = l ? INBOUND : OUTBOUND;
	if (e->owner.basis == OWNER_UNKNOWN)
		own_by_listener(&e->owner, l, sk);
}

/* The entry of a socket: of its connection, or of the one before. */
static __always_inline struct conn *find_entry(struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline struct conn *if_live(struct conn *entry)
{
	return entry && entry->live ? entry : NULL;
}

/* Sockets are reused by the slab allocator, so mostly the entry is there already, from the
 * connection before. */
static __always_inline bool remember(struct sock *sk, struct conn *entry, const struct conn *c)
{
	__u64 key = (__u64)sk;

	if (entry) {
		if (entry->live)
			COUNT(unseen);
		*entry = *c;
		return true;
	}
	if (bpf_map_update_elem(&conns, &key, c, BPF_NOEXIST))
		return false;
	__sync_fetch_and_add(&conns_used, 1);
	return true;
}

/* Deleting costs more than all else at the end of a connection: entries are deleted only when there
 * are many. */
static __always_inline void forget(struct sock *sk, struct conn *c)
{
	__u64 key = (__u64)sk;

	c->live = false;
	c->state = TCP_CLOSE;
	if (conns_used > conns_lazy && !bpf_map_delete_elem(&conns, &key))
		__sync_fetch_and_add(&conns_used, -1);
}

static __always_inline bool not_under_test(struct sock *sk)
{
	return testing_port && sk->__sk_common.skc_dport != bpf_htons(testing_port);
}

#include "timewait.h"

/* CLOSE -> SYN_SENT: connect() in the caller's context. No port yet (unless bound), no SYN yet. */
static __always_inline int on_connecting(struct sock *sk)
{
	struct conn c = {.live = true, .state = TCP_SYN_SENT};

	c.start_ns = bpf_ktime_get_ns();
	c.hash = sk->__sk_common.skc_hash;
	c.bound_port = sk->__sk_common.skc_num;
	c.direction = OUTBOUND;
	current_owner(&c.owner, OWNER_CONNECT);
	/* kernel clients (NFS, MPTCP's further subflows) connect in whatever worker is free */
	if (c.owner.comm[0] == 'k' && c.owner.comm[1] == 'w' && current_is_kernel_thread()) {
		__builtin_memset(&c.owner, 0, sizeof(c.owner));
		own_by_cgroup(&c.owner, sk);
		__builtin_memcpy(c.owner.comm, "kernel", 6);
	}
	if (!remember(sk, find_entry(sk), &c))
		COUNT(conns_full);
	note_connecting(sk);
	return 0;
}

static __always_inline void accepted(struct event *e, struct sock *sk, struct conn *entry)
{
	struct conn c = {.live = true};

	own_by_listener(&c.owner, find_listener(e), sk);
	c.start_ns = e->time_ns;
	c.established_ns = e->time_ns;
	c.hash = sk->__sk_common.skc_hash;
	c.direction = INBOUND;
	c.state = e->new_state;
	if (!remember(sk, entry, &c))
		COUNT(conns_full);
	e->kind = ACCEPT;
	fill_from_conn(e, &c);
}

/* connect() was called before tracing, or could not be remembered: from here on it is known. */
static __always_inline void connected(struct event *e, struct sock *sk, struct conn *entry,
				      struct conn *c)
{
	struct conn late = {.live = true, .state = TCP_ESTABLISHED, .direction = OUTBOUND};

	e->kind = CONNECT;
	if (c) {
		fill_from_conn(e, c);
		return;
	}
	own_by_cgroup(&late.owner, sk);
	late.established_ns = e->time_ns;
	late.hash = sk->__sk_common.skc_hash;
	remember(sk, entry, &late);
	fill_from_conn(e, &late);
}

/* A connection is established by a packet, and TCP has just read the clock for it: reading it again
 * costs 60 ns. Unless no packet came: a connection restored with TCP_REPAIR, or one closed before
 * the handshake was over. */
static __always_inline __u64 packet_time(struct tcp_sock *tp, const struct conn *c, int new)
{
	__u64 time_ns = tp->tcp_clock_cache;

	if (new != TCP_ESTABLISHED || !time_ns || (c && time_ns < c->start_ns))
		return bpf_ktime_get_ns();
	return time_ns;
}

/* Did connect() choose the port, from the range of the namespace? */
static __always_inline bool is_auto_port(struct tcp_sock *tp, const struct conn *c)
{
	struct inet_sock *inet = &tp->inet_conn.icsk_inet;
	struct inet_sock___before_6_9 *old = (void *)inet;

	if (!c || !c->start_ns || c->bound_port)
		return false;
	if (bpf_core_field_exists(inet->local_port_range))
		return !inet->local_port_range;
	if (bpf_core_field_exists(old->local_port_range))
		return !old->local_port_range.lo && !old->local_port_range.hi;
	return true;
}

/* SYN_SENT -> ESTABLISHED: connected. SYN_RECV -> ESTABLISHED: accepted, or connected by a
 * simultaneous open. SYN_RECV -> FIN_WAIT1: the same, closed before the handshake was over (fast
 * open). */
static __always_inline int on_established(struct sock *sk, struct tcp_sock *tp, int old, int new)
{
	struct conn *entry = find_entry(sk);
	struct conn *c = if_live(entry);
	struct event e = {};

	e.time_ns = packet_time(tp, c, new);
	e.old_state = old;
	e.new_state = new;
	fill_addresses(&e, sk, tp);
	if (old == TCP_SYN_SENT || (c && c->direction == OUTBOUND && !c->established_ns)) {
		if (c) {
			c->established_ns = e.time_ns;
			c->state = new;
			c->hash = sk->__sk_common.skc_hash;
		}
		connected(&e, sk, entry, c);
		if (old == TCP_SYN_SENT && is_auto_port(tp, c))
			e.flags |= AUTO_PORT;
	} else {
		accepted(&e, sk, entry);
	}
	send(&e);
	return 0;
}

/* ESTABLISHED -> FIN_WAIT1, CLOSE_WAIT -> LAST_ACK: close() or shutdown() in the context of whoever
 * closes. That is the best owner of a connection whose opener was not seen, or whose listener was
 * opened by init for somebody else. */
static __always_inline int on_closing(struct sock *sk)
{
	struct conn *entry = find_entry(sk);
	struct conn *c = if_live(entry);

	if (c &&
	    (c->direction == OUTBOUND || (c->owner.basis == OWNER_LISTENER && c->owner.pid != 1)))
		return 0;
	if (current_is_kernel_thread())
		return 0;
	if (c) {
		current_owner(&c->owner, OWNER_CLOSER);
	} else {
		struct conn seen = {.live = true};

		current_owner(&seen.owner, OWNER_CLOSER);
		remember(sk, entry, &seen);
	}
	return 0;
}

/* Why connect() came to nothing, from what the socket holds at SYN_SENT -> CLOSE. The stages of
 * tcp_v4_connect() leave their marks: no port found (no SYN, the hash as before), ended from
 * outside (sk_err), given up (neither). */
static __always_inline void fill_failure(struct event *e, struct sock *sk, struct conn *c)
{
	int err = sk->sk_err;

	e->basis = EXACT;
	if (e->segs_out) {
		e->error = err ? err : CANCELED;
		return;
	}
	if (sk->sk_shutdown == SHUTDOWN_MASK) {
		e->error = CANCELED; /* fast open, closed before the first write */
		return;
	}
	if (c && sk->__sk_common.skc_hash == c->hash) {
		e->error = EADDRNOTAVAIL;
		e->cause = c->bound_port ? TUPLE_IN_USE : PORTS_EXHAUSTED;
		return;
	}
	e->basis = INFERRED;
	if (c) {
		e->error = CANCELED; /* fast open, disconnected before the first write */
	} else if (!e->sport) {
		e->error = EADDRNOTAVAIL;
		e->cause = PORTS_EXHAUSTED;
	} else {
		e->error = UNKNOWN_ERROR;
	}
}

static __always_inline void fill_connect_failed(struct event *e, struct sock *sk, struct conn *c)
{
	e->kind = CONNECT_FAILED;
	fill_from_conn(e, c);
	e->direction = OUTBOUND;
	e->flags &= ~PREEXISTING;
	if (!c)
		own_by_cgroup(&e->owner, sk);
	fill_failure(e, sk, c);
	if (e->cause == PORTS_EXHAUSTED)
		e->sport = 0; /* no port was chosen; a socket used before shows its old one */
}

/* FIN_WAIT2 -> CLOSE and CLOSING -> CLOSE: the two ways into TIME_WAIT, and into its absence. */
static __always_inline void fill_timewait_or_not(struct event *e, struct sock *sk, __u8 closer)
{
	if (e->substate == UNKNOWN_SUBSTATE) {
		/* could not look: what the state and the error say is likely, not certain */
		e->substate = 0;
		e->kind = sk->sk_err ? CLOSE : TIME_WAIT;
		e->basis = INFERRED;
		e->closed_by = sk->sk_err ? CLOSED_RESET : closer;
		return;
	}
	if (e->substate == NO_TIMEWAIT) {
		e->substate = 0;
		e->basis = EXACT;
		e->cause = TIME_WAIT_OVERFLOW;
		e->closed_by = closer;
		return;
	}
	if (e->substate) {
		e->kind = TIME_WAIT;
		e->closed_by = closer;
		return;
	}
	e->closed_by = CLOSED_RESET;
	if (sk->sk_err || timewait_alloc_tells)
		return;
	if (e->old_state == TCP_FIN_WAIT2 && sk->__sk_common.skc_flags & (1UL << SOCK_DONE))
		e->basis =
		    EXACT; /* only tcp_fin() gets here, when it could have no timewait socket */
	else if (timewait_full(sk->__sk_common.skc_net.net))
		e->basis = INFERRED;
	else
		return;
	e->cause = TIME_WAIT_OVERFLOW;
	e->closed_by = closer;
}

static __always_inline void fill_end(struct event *e, struct sock *sk, struct conn *c)
{
	e->kind = CLOSE;
	fill_from_conn(e, c);
	if (!e->direction)
		infer_direction(e, sk);
	if (c && c->start_ns && !c->established_ns)
		COUNT(unseen); /* no program was called when it was established */
	e->error = sk->sk_err;
	if (e->error)
		e->basis = EXACT;
	switch (e->old_state) {
	case TCP_FIN_WAIT2:
		fill_timewait_or_not(e, sk, CLOSED_LOCAL);
		break;
	case TCP_CLOSING:
		fill_timewait_or_not(e, sk, CLOSED_BOTH);
		break;
	case TCP_LAST_ACK:
		e->closed_by = e->error ? CLOSED_RESET : CLOSED_REMOTE;
		break;
	default: /* ESTABLISHED, CLOSE_WAIT, FIN_WAIT1: RST, abort or timeout */
		e->closed_by = CLOSED_RESET;
	}
	if (e->kind == TIME_WAIT)
		e->new_state = TCP_TIME_WAIT;
}

/* What inet_twsk_alloc() told of the timewait socket that sk leaves behind: its substate and timer,
 * or NO_TIMEWAIT. 0: nothing, or its hook was not called, which can be when it interrupts itself.
 */
static __always_inline int told_by_alloc(struct sock *sk, __u64 *timer)
{
	struct conn *entry = find_entry(sk);
	int substate;

	if (!entry)
		return 0;
	substate = entry->timewait_substate;
	*timer = entry->timewait;
	entry->timewait_substate = 0;
	return substate;
}

static __always_inline int left_behind(struct sock *sk, const struct event *e, __u64 *timer)
{
	int substate = timewait_alloc_tells ? told_by_alloc(sk, timer) : 0;

	if (substate)
		return substate;
	if (probe_reads)
		return timewait_substate(sk, e, timer);
	return timewait_alloc_tells ? 0 : UNKNOWN_SUBSTATE;
}

/* Anything -> CLOSE: the end of a connection, or of an attempt at one. The walk comes first, while
 * the verifier has few cases to follow it in. */
static __always_inline int on_end(struct sock *sk, struct tcp_sock *tp, int old)
{
	struct event e = {};
	struct conn *c;
	__u64 timer = 0;

	e.old_state = old;
	e.new_state = TCP_CLOSE;
	fill_addresses(&e, sk, tp);
	if (old == TCP_FIN_WAIT2 || old == TCP_CLOSING)
		e.substate = left_behind(sk, &e, &timer);
	c = if_live(find_entry(sk));
	/* a child that was reset before it was established: no connection yet, so none ends */
	if (old == TCP_SYN_RECV && !(c && c->direction == OUTBOUND))
		return 0;
	if (c)
		c->ended = c->in_census ? ENDED_ANNOUNCED : ENDED_UNANNOUNCED;
	e.time_ns = bpf_ktime_get_ns();
	fill_counters(&e, sk, tp);
	if (stopping) {
		/* past the end of the window: it was open, and this is what it had done */
		if (!c || !(c->established_ns || c->in_census))
			return 0;
		fill_from_conn(&e, c);
		e.kind = OPEN;
		e.substate = 0;
		e.new_state = old;
	} else if (old == TCP_SYN_SENT || old == TCP_SYN_RECV) {
		fill_connect_failed(&e, sk, c);
	} else {
		fill_end(&e, sk, c);
	}
	if (c)
		forget(sk, c);
	send(&e);
	if (e.kind == TIME_WAIT && timer && enter_timewait(sk, &e, timer))
		send(&e);
	return 0;
}

static __always_inline void fill_listener_key(struct listener_key *key, struct sock *sk)
{
	key->netns = sk->__sk_common.skc_net.net->ns.inum;
	key->port = sk->__sk_common.skc_num;
	if (sk->__sk_common.skc_family == AF_INET6)
		copy_v6(key->addr, &sk->__sk_common.skc_v6_rcv_saddr);
	else
		map_v4(key->addr, sk->__sk_common.skc_rcv_saddr);
}

/* CLOSE -> LISTEN: listen() in the caller's context. */
static __always_inline int on_listen(struct sock *sk)
{
	struct listener_key key = {};
	struct listener l = {}, *before;

	fill_listener_key(&key, sk);
	before = bpf_map_lookup_elem(&listeners, &key);
	if (before && !before->gone)
		l.before = before->owner;
	current_owner(&l.owner, OWNER_LISTENER);
	l.socket = (__u64)sk;
	bpf_map_update_elem(&listeners, &key, &l, BPF_ANY);
	return 0;
}

/* LISTEN -> CLOSE. An entry outlives its socket, for with SO_REUSEPORT others may listen there
 * still. But listen() that failed (EADDRINUSE) passes here at once, and must leave no trace. */
static __always_inline int on_listen_end(struct sock *sk)
{
	struct listener_key key = {};
	struct listener *l;

	fill_listener_key(&key, sk);
	l = bpf_map_lookup_elem(&listeners, &key);
	if (!l || l->socket != (__u64)sk)
		return 0;
	if (sk->sk_shutdown)
		l->gone = true;
	else if (l->before.basis != OWNER_UNKNOWN)
		l->owner = l->before;
	else
		bpf_map_delete_elem(&listeners, &key);
	return 0;
}

/* One function for all copies of the program. */
static __noinline int on_transition(struct sock *sk, int old, int new)
{
	struct tcp_sock *tp;

	if ((stopping && new != TCP_CLOSE) || not_under_test(sk))
		return 0;
	switch (new) {
	case TCP_SYN_SENT:
		return on_connecting(sk);
	case TCP_LISTEN:
		return on_listen(sk);
	case TCP_FIN_WAIT1:
		if (old != TCP_SYN_RECV)
			return on_closing(sk);
		break;
	case TCP_LAST_ACK:
		return on_closing(sk);
	case TCP_CLOSE:
		if (old == TCP_LISTEN)
			return on_listen_end(sk);
		if (old == TCP_CLOSE)
			return 0;
		break;
	case TCP_ESTABLISHED:
		break;
	default:
		return 0;
	}
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (new == TCP_CLOSE)
		return on_end(sk, tp, old);
	return on_established(sk, tp, old, new);
}

struct mark {
	__u64 *slot; /* NULL: never */
	__u64 value;
};

static __always_inline struct mark mark_of(struct sock *sk, int old, int new, __u32 copy)
{
	__u64 *number = bpf_map_lookup_elem(&numbers, &copy);
	struct mark m = {};
	__u32 slot;

	if (!number)
		return m;
	*(volatile __u64 *)number = (__u64)sk;
	m.value = *(volatile __u64 *)number;
	slot = m.value * 0x9e3779b97f4a7c15ULL >> (64 - HANDLED_BITS);
	m.slot = bpf_map_lookup_elem(&handled, &slot);
	m.value ^= (__u64)(old << 4 | new) << 48;
	return m;
}

/* Context: whoever changes the state; current is the owner only at CLOSE -> SYN_SENT, CLOSE ->
 * LISTEN and the closes. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, struct sock *sk, int old, int new)
{
	struct mark m = mark_of(sk, old, new, 0);

	if (!m.slot)
		return 0;
	if (sk->sk_protocol == IPPROTO_TCP)
		on_transition(sk, old, new);
	*m.slot = m.value;
	return 0;
}

/* What the mark says can have been overwritten by a socket that shares the slot. */
static __always_inline bool was_handled(struct sock *sk, int new)
{
	struct conn *entry = find_entry(sk);

	return entry && entry->state == new;
}

static __always_inline int handle_missed(struct sock *sk, int old, int new, __u32 copy)
{
	struct mark m = mark_of(sk, old, new, copy);

	if (!m.slot || *(volatile __u64 *)m.slot == m.value || was_handled(sk, new))
		return 0;
	COUNT(rescued);
	if (sk->sk_protocol == IPPROTO_TCP)
		on_transition(sk, old, new);
	*m.slot = m.value;
	return 0;
}

/* Since 6.2 a program does not run again on a CPU on which it was interrupted, so a softirq's
 * transitions would be lost. A further copy handles what those before it have not. It must be
 * attached after them, and detached before. Whether a transition was handled is known by a mark,
 * not by whether a copy is running: it can be interrupted before it does anything, too. A socket's
 * transitions are serialized by its lock, and none follows itself. One further copy is enough where
 * only softirqs interrupt. Since 7.0 tracepoints can be preempted, for milliseconds in which other
 * tasks and their softirqs come by: there, four take turns. */
#define FURTHER_COPY(n)                                                                            \
	SEC("tp_btf/inet_sock_set_state")                                                          \
	int BPF_PROG(inet_sock_set_state_##n, struct sock *sk, int old, int new)                   \
	{                                                                                          \
		return handle_missed(sk, old, new, n);                                             \
	}

FURTHER_COPY(1)
FURTHER_COPY(2)
FURTHER_COPY(3)
FURTHER_COPY(4)

/* The same of a socket that was read: its IPv6 addresses are in e. */
static __always_inline bool talked_v4(const struct event *e, __u16 family)
{
	return family != AF_INET6 ||
	       (!((__u64 *)e->dst)[0] && ((__u32 *)e->dst)[2] == bpf_htonl(0xffff));
}

/* What a socket holds, read from memory that can be another's by now. */
static __always_inline void fill_socket(struct event *e, struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	bool fin = BPF_CORE_READ(sk, __sk_common.skc_flags) & (1UL << SOCK_DONE);

	bpf_core_read(e->src, sizeof(e->src), &sk->__sk_common.skc_v6_rcv_saddr);
	bpf_core_read(e->dst, sizeof(e->dst), &sk->__sk_common.skc_v6_daddr);
	if (talked_v4(e, BPF_CORE_READ(sk, __sk_common.skc_family))) {
		map_v4(e->src, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_v4(e->dst, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	}
	e->sport = bpf_ntohs(BPF_CORE_READ(tp, inet_conn.icsk_inet.inet_sport));
	e->dport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	e->old_state = e->new_state = BPF_CORE_READ(sk, __sk_common.skc_state);
	e->sent_bytes = BPF_CORE_READ(tp, bytes_sent) - BPF_CORE_READ(tp, bytes_retrans);
	e->received_bytes = BPF_CORE_READ(tp, bytes_received) - fin;
	e->segs_out = BPF_CORE_READ(tp, segs_out);
	e->segs_in = BPF_CORE_READ(tp, segs_in);
	e->data_segs_out = BPF_CORE_READ(tp, data_segs_out);
	e->data_segs_in = BPF_CORE_READ(tp, data_segs_in);
	e->retransmits = BPF_CORE_READ(tp, total_retrans);
	e->jiffies = (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, lsndtime);
	e->flags |= COUNTED;
}

static __always_inline void fill_open(struct event *e, struct tcp_sock *tp, const struct conn *c)
{
	e->kind = OPEN;
	fill_from_conn(e, c);
	if (!c->in_census)
		e->flags &= ~PREEXISTING; /* its connect() or accept was seen */
	fill_socket(e, tp);
}

/* Read by user space when a window ends: the connections in map conns that are open, with their
 * counters so far. */
SEC("iter/bpf_map_elem")
int open_connections(struct bpf_iter__bpf_map_elem *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	__u64 *key = ctx->key, sk;
	struct conn *value = ctx->value, c, *now;
	struct event e = {};

	if (!key || !value)
		return 0;
	e.time_ns = bpf_ktime_get_ns();
	sk = *key;
	__builtin_memcpy(&c, value, sizeof(c));
	if (!c.live || !(c.start_ns || c.established_ns || c.in_census))
		return 0;
	fill_open(&e, (struct tcp_sock *)sk, &c);
	/* closed, and perhaps another connection's socket by now? Then no program was called when
	 * it ended. */
	now = bpf_map_lookup_elem(&conns, &sk);
	if (!now || !now->live || now->start_ns != c.start_ns)
		return 0;
	if (!c.established_ns && !c.in_census && e.new_state != TCP_SYN_SENT &&
	    e.new_state != TCP_SYN_RECV)
		return 0; /* established after the end of the window */
	if ((c.established_ns || c.in_census) &&
	    (e.new_state == TCP_CLOSE ||
	     BPF_CORE_READ((struct sock *)sk, __sk_common.skc_hash) != c.hash)) {
		if (!stopping)
			return 0; /* it ends just now, and that will be told */
		COUNT(unseen);
	} else if (bpf_seq_write(seq, &e, sizeof(e))) {
		return 0; /* the buffer is full: this entry comes again */
	}
	if (stopping)
		now->live = false; /* told */
	return 0;
}

#include "census.h"
#include "syscalls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
